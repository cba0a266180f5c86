"""The look of the figures.

They go through matplotlib's object API, so no state of pyplot is read or left behind.
"""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

# Okabe and Ito's colours, which stay apart under every common colour blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, FAINT = "#6b6b6b", "#c8c8c8"
_STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.figsize": (8, 5),
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.dpi": "figure",
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.formatter.useoffset": False,
    "grid.color": "#ebebeb",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
_COLOURS = (VERMILION, BLUE, GREEN, ORANGE, SKY, PURPLE, GREY)
_MARKERS = ("s", "^", "D", "v", "P", "X", "<")
_DASHES = ("-", "--", ":")
_P = ParamSpec("_P")

Look = dict[str, Any]  # of a line, as matplotlib has it


def render_png(draw: Callable[_P, Figure], *args: _P.args, **kwargs: _P.kwargs) -> bytes:
    """Draws a figure in the report's style.

    Args:
        draw: Returns a figure.
        *args: What it takes.
        **kwargs: What it takes by name.

    Returns:
        The bytes of a PNG file, the same for the same figure.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        draw(*args, **kwargs).savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def looks_of(names: Sequence[str]) -> dict[str, Look]:
    """Gives each of several lines a look of its own: colours and markers, then dashes.

    Args:
        names: Of the lines.
    """
    return {
        name: {
            "color": _COLOURS[index % len(_COLOURS)],
            "marker": _MARKERS[index % len(_MARKERS)],
            "linestyle": _DASHES[index // len(_COLOURS) % len(_DASHES)],
            "linewidth": 1.3,
            "markersize": 5,
            "zorder": 2,
        }
        for index, name in enumerate(names)
    }


def density_axis(axes: Axes, density: NDArray[np.float64], room: float = 0.075) -> None:
    """Makes x a log axis of density, densest on the left, with ticks at densities that are there.

    Args:
        axes: Where.
        density: Shares in (0, 1].
        room: Smallest distance between ticks, as a share of the axis' length.
    """
    axes.set_xscale("log")
    axes.set_xlim(density.max() * 1.1, density.min() / 1.1)
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = spaced(density, room)
    axes.set_xticks(ticks, [f"{100 * tick:.3g}" for tick in ticks])
    axes.set_xlabel("density, % of the prunable weights (log scale)")


def factor_axis(axes: Axes) -> None:
    """Makes y a log axis of factors, with plain numbers as ticks."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1, 2, 5) if high / low < 200 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def spaced(values: NDArray[np.float64], share: float) -> list[float]:
    """Picks the extremes, and between them what stays a share of a log axis apart.

    Args:
        values: Positive values along the axis.
        share: Smallest distance, as a share of the axis' length.

    Returns:
        The picked values, largest first.
    """
    ordered = np.unique(values)[::-1]
    room = share * np.log(ordered[0] / ordered[-1])
    kept = [float(ordered[0])]
    for value in ordered[1:-1]:
        if min(np.log(kept[-1] / value), np.log(value / ordered[-1])) >= room:
            kept.append(float(value))
    return kept + [float(ordered[-1])] * (len(ordered) > 1)


def short_layer(layer: str, longest: int = 34) -> str:
    """Shortens a layer's name for an axis: without "/kernel", and with … in its middle."""
    name = layer.removesuffix("/kernel")
    if len(name) <= longest:
        return name
    head = longest * 14 // 34
    return f"{name[:head]}…{name[head + 1 - longest :]}"


def max_lr_axis(axes: Axes, which: Literal["x", "y"], max_lr: NDArray[np.float64]) -> None:
    """Makes an axis a log axis of max_lr, with plain numbers as ticks.

    Args:
        axes: Where.
        which: The axis.
        max_lr: What is drawn along it; what is not finite, or not above 0, does not count.
    """
    low, high = positive_ends(max_lr)
    margin = max(1.05, (high / low) ** 0.05)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low / margin, high * margin)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(plain_ticks(low, high)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def positive_ends(values: ArrayLike) -> tuple[float, float]:
    """The smallest and the largest of the values that are finite and above 0."""
    drawn = np.asarray(values, float)
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    return (float(drawn.min()), float(drawn.max())) if drawn.size else (0.1, 1.0)


def plain_ticks(low: float, high: float) -> list[float]:
    """Picks ticks for a log axis: 1, 2 and 5 times powers of ten, or even steps over a short one.

    Example:
        >>> plain_ticks(0.009, 0.11)
        [0.01, 0.02, 0.05, 0.1]
        >>> plain_ticks(0.02, 0.07)
        [0.02, 0.03, 0.04, 0.05, 0.06, 0.07]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    if len(shown) >= 3:
        return shown
    even = [
        float(f"{tick:.6g}") for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    ]
    return [tick for tick in even if low <= tick <= high] or [low, high]


def accuracy_axis(axes: Axes, split: str, bottom: float | None = None) -> None:
    """Makes y an axis of accuracy, which ends little above 100 %, once all is drawn.

    Args:
        axes: Where.
        split: Whose accuracy it is, e.g. "test".
        bottom: The lower end in per cent; None leaves it.
    """
    axes.set_ylabel(f"{split} accuracy, %")
    axes.set_ylim(bottom=bottom, top=min(axes.get_ylim()[1], 101))


def focus(values: ArrayLike, room: float = 15.0) -> float | None:
    """Finds where an accuracy axis may end below, so that the good values stay apart.

    Args:
        values: Accuracies in per cent, NaN where missing.
        room: Percentage points below the best value that are always shown.

    Returns:
        The axis' lower end if some values lie further down, else None.
    """
    drawn = np.asarray(values, float)
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size or drawn.min() >= drawn.max() - room:
        return None
    return float(drawn.max() - room)
