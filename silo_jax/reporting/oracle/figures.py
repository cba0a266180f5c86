"""The figures of a search: each function takes the results and returns a matplotlib figure."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from silo_jax.reporting import style
from silo_jax.reporting.lines import Line, draw_line
from silo_jax.reporting.oracle import lines
from silo_jax.reporting.oracle.numbers import Floats
from silo_jax.reporting.oracle.results import OracleSearch

Look = style.Look

LOOKS: dict[str, Look] = {
    "Oracle": {"color": style.BLUE, "marker": "o", "linewidth": 1.2, "zorder": 3},
    "SILO": {"color": style.BLACK, "linewidth": 2.2, "zorder": 4},
    "fitted S-curve": {
        "color": style.VERMILION,
        "linestyle": "--",
        "linewidth": 1.8,
        "zorder": 4,
    },
    "best constant": {"color": style.GREY, "linestyle": ":", "linewidth": 1.6, "zorder": 1.5},
}
LOOKS["S-curve"] = LOOKS["SILO"]
ACCURACY_LOOKS: dict[str, Look] = {
    "Oracle": {"color": style.BLUE, "marker": "s", "linestyle": "--"},
    "SILO": {"color": style.BLACK, "marker": "o"},
}
LEAST = -5.0  # percentage points below the best, where the colours of the heat map end


def max_lr_by_cycle(search: OracleSearch) -> Figure:
    """Draws the Oracle's max_lr and intervals over the cycles, and SILO's curve over them."""
    figure = Figure(figsize=(8, 5.5))
    axes = figure.add_subplot()
    oracle, *others = drawn = lines.max_lr_lines(search)
    draw_intervals(axes, oracle)
    for line in others:
        draw_line(axes, line, **LOOKS[line.name])
    cycle_axis(axes, oracle.x)
    style.max_lr_axis(axes, "y", np.concatenate([line_heights(line) for line in drawn]))
    axes.set_ylabel("max_lr (log scale)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def draw_intervals(axes: Axes, oracle: Line) -> None:
    """Draws the Oracle's max_lr and its intervals as bars, with arrows at open ends.

    Args:
        axes: Where, with cycles along x.
        oracle: See `silo_jax.reporting.oracle.lines.choice_line`.
    """
    cycle, told = oracle.x, oracle.told
    bars = (
        (oracle.low, oracle.high, 0.7, 0.22, "interval"),
        (told.get("se_low"), told.get("se_high"), 0.25, 0.45, "one standard error"),
    )
    for low, high, width, shade, label in bars:
        if low is None or high is None or not np.isfinite(low).any():
            continue
        there = np.isfinite(low)
        heights = (high - low)[there]
        bar: Look = {"color": style.BLUE, "alpha": shade, "linewidth": 0, "label": label}
        axes.bar(cycle[there], heights, width, bottom=low[there], **bar)
    for end, ends, marker in (("low", oracle.low, "v"), ("high", oracle.high, "^")):
        assert ends is not None, "an Oracle's line has an interval"
        is_open = told.get(f"{end}_open", np.zeros(len(cycle))) == 1
        arrows: Look = {"color": style.BLUE, "s": 36, "zorder": 3, "clip_on": False}
        axes.scatter(cycle[is_open], ends[is_open], marker=marker, **arrows)
    look: Look = {"label": oracle.name, "markersize": 5} | LOOKS["Oracle"]
    axes.plot(cycle, oracle.y, **look)


def line_heights(line: Line) -> Floats:
    """All that is drawn of a line along y."""
    parts = (line.y, line.low, line.high, line.told.get("se_low"), line.told.get("se_high"))
    return np.concatenate([part for part in parts if part is not None])


def accuracy_by_max_lr(search: OracleSearch) -> Figure:
    """Draws validation accuracy as colour, a column a cycle and a cell a max_lr tried."""
    figure = Figure(figsize=(8, 5.5))
    axes = figure.add_subplot()
    axes.grid(visible=False)
    colours = matplotlib.colormaps["viridis"]
    look: Look = {"cmap": colours, "vmin": LEAST, "vmax": 0.0}
    drawn = lines.tried_lines(search)
    for line in drawn:
        cycle, below, chosen = (line.told[name] for name in ("cycle", "below_best", "chosen"))
        sides = [cycle - 0.45, cycle + 0.45]
        image = axes.pcolormesh(sides, _edges(line.x), below[:, None], **look)
        lost = ~np.isfinite(line.y)
        axes.scatter(np.full(lost.sum(), cycle), line.x[lost], color=style.GREY, marker="x", s=22)
        best = line.x[chosen == 1]
        dots: Look = {"color": "white", "markeredgecolor": "black", "markersize": 6}
        axes.plot(np.full(len(best), cycle), best, "o", **dots)
    tried = np.concatenate([_edges(line.x) for line in drawn])
    cycle_axis(axes, np.array([line.told["cycle"] for line in drawn]))
    style.max_lr_axis(axes, "y", tried)
    axes.set_ylabel("max_lr (log scale)")
    bar = figure.colorbar(image, ax=axes, pad=0.02, extend="min", aspect=30)
    bar.set_label("validation accuracy, points below the cycle's best")
    bar.outline.set_visible(False)
    return figure


def accuracy_by_density(search: OracleSearch) -> Figure:
    """Draws test accuracy of the Oracle and of SILO against density, densest on the left."""
    figure = Figure()
    axes = figure.add_subplot()
    drawn = lines.accuracy_lines(search)
    for line in drawn:
        draw_line(axes, line, **ACCURACY_LOOKS[line.name])
    style.density_axis(axes, drawn[0].x)
    style.accuracy_axis(axes, "test")
    axes.legend()
    return figure


def _edges(values: Floats) -> Floats:
    """Finds the bounds between values on a log scale, half-way, and beyond the first and last."""
    logs = np.log(values)
    if len(logs) == 1:
        return np.exp([logs[0] - 0.1, logs[0] + 0.1])
    inner = (logs[1:] + logs[:-1]) / 2
    ends = [2 * logs[0] - inner[0]], [2 * logs[-1] - inner[-1]]
    return np.exp(np.concatenate([ends[0], inner, ends[1]]))


def cycle_axis(axes: Axes, cycle: NDArray[np.int64]) -> None:
    """Makes x an axis of cycles."""
    axes.set(xlabel="cycle", xlim=(-0.6, cycle[-1] + 0.6))
    axes.xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
