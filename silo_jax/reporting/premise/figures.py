"""The figures of the premise: each function takes the results and returns a matplotlib figure."""

import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from silo_jax.reporting import style
from silo_jax.reporting.aggregate import over_present
from silo_jax.reporting.premise.histograms import pooled
from silo_jax.reporting.premise.numbers import (
    inverse_width,
    max_lr_of_run,
    positive,
    scaled,
    update_size,
)
from silo_jax.reporting.premise.results import MOMENTS, NETWORK, QUANTITIES, Premise

_SMALLEST_SHARE = 1e-5
_FEW_LAYERS = 8
_ROOMY = 12  # columns in which numbers fit
_OF_QUANTITY = {
    "gradient": {"color": style.BLUE, "marker": "o"},
    "before": {"color": style.VERMILION, "marker": "s"},
    "after": {"color": style.GREEN, "marker": "^"},
}
_OF_MOMENT = {
    "initialisation": {"color": style.BLUE, "marker": "o"},
    "warmed_up": {"color": style.ORANGE, "marker": "s"},
    "end": {"color": style.PURPLE, "marker": "^"},
}


def inverse_widths(premise: Premise) -> Figure:
    """Draws 1/width beside max_lr over the cycles, a panel a moment, all scaled to start at 1."""
    figure, panels = _stacked(len(premise.moments), height=3.2)
    thick: dict[str, Any] = {"color": style.BLACK, "linewidth": 2.8, "zorder": 4}
    cycles, max_lr = max_lr_of_run(premise)
    for axes, moment in zip(panels, premise.moments, strict=True):
        axes.axhline(1, color=style.GREY, linewidth=0.8)
        for quantity in premise.quantities:
            line = _OF_QUANTITY[quantity] | {"label": f"1/width of {QUANTITIES[quantity]}"}
            _band(axes, premise.measured, inverse_width(premise, moment, quantity), **line)
        _band(axes, cycles, max_lr, label=f"max_lr ({premise.schedule})", **thick)
        _factors(axes)
        axes.set_title(MOMENTS[moment], loc="left", fontsize=12)
        axes.set_ylabel("start = 1 (log scale)")
    panels[-1].xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
    panels[-1].set(xlabel="cycle", xlim=(cycles[0] - 0.4, cycles[-1] + 0.4))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return figure


def histograms(premise: Premise, moment: str) -> Figure:
    """Draws the distributions at one moment, a panel a quantity and a line a cycle."""
    figure, panels = _stacked(len(premise.quantities), height=2.9, share=False)
    colours = matplotlib.colormaps["viridis_r"](np.linspace(0.08, 1, len(premise.measured)))
    for axes, quantity in zip(panels, premise.quantities, strict=True):
        edges, shares = pooled(premise, moment, quantity)
        for share, colour, label in zip(shares, colours, _densities(premise), strict=True):
            axes.stairs(share, edges, color=colour, label=label, linewidth=1.4)
        axes.set(yscale="log", xlim=(edges[0], edges[-1]), ylim=(_SMALLEST_SHARE, 1.3))
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(QUANTITIES[quantity], loc="left", fontsize=12)
        axes.set_ylabel("share of values\n(log scale)")
    panels[-1].set_xlabel("value")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        title="cycle (density)",
        fontsize=11,
    )
    return figure


def widths_by_density(premise: Premise) -> Figure:
    """Draws standard deviation and middle 90 % against density, a panel a quantity."""
    figure, panels = _stacked(len(premise.quantities), height=2.9)
    for axes, quantity in zip(panels, premise.quantities, strict=True):
        for moment in premise.moments:
            for measure, name, look in (
                ("std", "standard deviation", {}),
                ("middle_90", "middle 90 %", {"linestyle": "--", "markerfacecolor": "white"}),
            ):
                width = positive(premise.width(moment, quantity, measure))
                line = _OF_MOMENT[moment] | look | {"label": f"{name}, {MOMENTS[moment]}"}
                _band(axes, premise.density, width, **line)
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(QUANTITIES[quantity], loc="left", fontsize=12)
        axes.set_ylabel("width (log scale)")
    style.density_axis(panels[-1], premise.density)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=11
    )
    return figure


def update_by_density(premise: Premise) -> Figure:
    """Draws the mean size of the update lr·|g| against density, a line a moment."""
    figure = Figure()
    axes = figure.add_subplot()
    for moment in premise.moments:
        size = positive(update_size(premise, moment))
        if np.isfinite(size).any():
            line = _OF_MOMENT[moment] | {"label": MOMENTS[moment]}
            _band(axes, premise.density, size, **line)
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("mean lr·|g| of the weights left (log scale)")
    style.density_axis(axes, premise.density)
    axes.legend()
    return figure


def widths_by_layer(premise: Premise, quantity: str) -> Figure:
    """Draws each layer's width over that in the first cycle, a panel a moment, a row a layer.

    The panels stand side by side if there are many layers.
    """
    layers, moments = layers_of(premise, quantity), premise.moments
    shares = [
        np.array([_relative(premise, moment, quantity, layer) for layer in layers])
        for moment in moments
    ]
    are_many = len(layers) > _FEW_LAYERS
    rows, columns = (1, len(moments)) if are_many else (len(moments), 1)
    figure = Figure(figsize=(8, 1.6 + (0.55 + 0.3 * len(layers)) * rows))
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    norm = _log_norm(shares)
    for axes, moment, share in zip(panels, moments, shares, strict=True):
        image = axes.imshow(share, cmap="PuOr", norm=norm, aspect="auto", interpolation="nearest")
        axes.set_title(MOMENTS[moment], loc="left", fontsize=10 if are_many else 12)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if share.shape[1] * columns <= _ROOMY:
            _write_cells(axes, share, norm)
    axes.set_yticks(range(len(layers)), [_short(layer) for layer in layers])
    cycles = [str(cycle) for cycle in premise.measured]
    stride = -(-len(cycles) * columns // _ROOMY)
    axes.set_xticks(range(0, len(cycles), stride), cycles[::stride])
    figure.supxlabel("cycle", fontsize=12)
    label, slim = f"width / that in cycle {cycles[0]}", 6 * figure.get_figheight()
    bar = figure.colorbar(image, ax=panels, label=label, pad=0.02, aspect=slim)
    bar.outline.set_visible(False)
    _factors(bar.ax)
    return figure


def layers_of(premise: Premise, quantity: str) -> list[str]:
    """The layers that have a quantity, by name; Dense_2 comes before Dense_10."""
    names = {*premise.widths["layer"][premise.widths["quantity"] == quantity].tolist()} - {NETWORK}
    return sorted(names, key=lambda name: [p.zfill(9) for p in re.split(r"(\d+)", name)])


def _relative(premise: Premise, moment: str, quantity: str, layer: str) -> NDArray[np.float64]:
    width = premise.width(moment, quantity, layer=layer)
    return over_present(scaled(width)).mean


def _stacked(number: int, height: float, share: bool = True) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8, 1.4 + height * number))
    return figure, list(np.atleast_1d(figure.subplots(number, 1, sharex=share)))


def _band(axes: Axes, x: NDArray[Any], values: NDArray[np.float64], **line: Any) -> None:
    """Draws the mean over the seeds, and a band of ± one standard deviation."""
    stats = over_present(values)
    axes.plot(x, stats.mean, **({"markersize": 5} | line))
    low, high = stats.mean - stats.std, stats.mean + stats.std
    # On a log axis a band has to end somewhere above 0.
    low = np.where(low > 0, low, stats.mean / 100)
    axes.fill_between(x, low, high, color=line["color"], alpha=0.15, linewidth=0)


def _factors(axes: Axes) -> None:
    """Makes y a log axis of factors, with plain numbers as ticks."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1, 2, 5) if high / low < 200 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _densities(premise: Premise) -> list[str]:
    return [
        f"{cycle} ({100 * density:.3g} %)"
        for cycle, density in zip(premise.measured, premise.density, strict=True)
    ]


def _short(layer: str) -> str:
    name = layer.removesuffix("/kernel")
    return name if len(name) <= 34 else f"{name[:14]}…{name[-19:]}"


def _log_norm(shares: Sequence[NDArray[np.float64]]) -> LogNorm:
    """The same distance from 1 both ways, a factor of 2 at least."""
    logs = np.abs(np.log(np.stack(shares)))
    reach = max(2.0, float(np.exp(np.max(logs[np.isfinite(logs)], initial=0))))
    return LogNorm(1 / reach, reach)


def _write_cells(axes: Axes, shares: NDArray[np.float64], norm: LogNorm) -> None:
    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10}
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            is_dark = abs(float(norm(share)) - 0.5) > 0.35
            colour = "white" if is_dark else "black"
            axes.text(column, row, f"{share:.2g}", color=colour, **text)
