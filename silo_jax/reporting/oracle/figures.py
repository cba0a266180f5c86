"""The figures of a search: each function takes the results and returns a matplotlib figure."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from silo_jax.reporting import style
from silo_jax.reporting.aggregate import over_present, over_seeds
from silo_jax.reporting.oracle.numbers import (
    Floats,
    best_constant,
    by_cycle,
    curve_by_cycle,
    oracle_accuracy,
    silo_accuracy,
    silo_and_intervals,
)
from silo_jax.reporting.oracle.results import OracleSearch
from silo_jax.reporting.reading import Columns

Look = dict[str, Any]

_ORACLE, _SILO, _FIT = style.BLUE, style.BLACK, style.VERMILION
_LEAST = -5.0  # percentage points below the best, where the colours of the heat map end


def max_lr_by_cycle(search: OracleSearch) -> Figure:
    """Draws the Oracle's max_lr and intervals over the cycles, and SILO's curve over them."""
    figure = Figure(figsize=(8, 5.5))
    axes = figure.add_subplot()
    choices = search.choices
    silo = by_cycle(search, search.silo, "max_lr")
    draw_intervals(axes, choices)
    line: Look = {"color": _SILO, "linewidth": 2.2, "zorder": 4}
    axes.plot(choices["cycle"], silo, label="SILO", **line)
    drawn = [choices["low"], choices["high"], choices["max_lr"], silo]
    drawn += [choices["se_low"], choices["se_high"]]
    if search.fit is not None:
        fitted = curve_by_cycle(search.fit, search)
        line = {"color": _FIT, "linestyle": "--", "linewidth": 1.8, "zorder": 4}
        axes.plot(choices["cycle"], fitted, label="fitted S-curve", **line)
        drawn.append(fitted)
    _, *ends = silo_and_intervals(search)
    constant = best_constant(*ends)
    if constant is not None:
        line = {"color": style.GREY, "linestyle": ":", "linewidth": 1.6, "zorder": 1.5}
        axes.axhline(constant.middle, label="best constant", **line)
    cycle_axis(axes, choices["cycle"])
    style.max_lr_axis(axes, "y", np.concatenate(drawn))
    axes.set_ylabel("max_lr (log scale)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def draw_intervals(axes: Axes, choices: Columns) -> None:
    """Draws the Oracle's max_lr and its intervals as bars, with arrows at open ends.

    Args:
        axes: Where, with cycles along x.
        choices: Columns ``cycle``, ``max_lr``, ``low``, ``high``, and perhaps those of choices.csv
            on open ends and one standard error.
    """
    cycle = choices["cycle"]
    bars = (("", 0.7, 0.22, "interval"), ("se_", 0.25, 0.45, "one standard error"))
    for part, width, shade, label in bars:
        low, high = choices.get(f"{part}low"), choices.get(f"{part}high")
        if low is None or high is None or not np.isfinite(low).any():
            continue
        there = np.isfinite(low)
        heights = (high - low)[there]
        look: Look = {"color": _ORACLE, "alpha": shade, "linewidth": 0, "label": label}
        axes.bar(cycle[there], heights, width, bottom=low[there], **look)
    for end, marker in (("low", "v"), ("high", "^")):
        is_open = choices.get(f"{end}_open", np.zeros(len(cycle))) == 1
        arrows: Look = {"color": _ORACLE, "s": 36, "zorder": 3, "clip_on": False}
        axes.scatter(cycle[is_open], choices[end][is_open], marker=marker, **arrows)
    line: Look = {"color": _ORACLE, "marker": "o", "markersize": 5, "linewidth": 1.2, "zorder": 3}
    axes.plot(cycle, choices["max_lr"], label="Oracle", **line)


def accuracy_by_max_lr(search: OracleSearch) -> Figure:
    """Draws validation accuracy as colour, a column a cycle and a cell a max_lr tried."""
    figure = Figure(figsize=(8, 5.5))
    axes = figure.add_subplot()
    axes.grid(visible=False)
    colours = matplotlib.colormaps["viridis"]
    look: Look = {"cmap": colours, "vmin": _LEAST, "vmax": 0.0}
    for cycle, best in zip(search.choices["cycle"], search.choices["max_lr"], strict=True):
        max_lr, mean = mean_by_max_lr(search, int(cycle))
        below = mean - np.max(mean[np.isfinite(mean)], initial=-np.inf)
        sides = [cycle - 0.45, cycle + 0.45]
        image = axes.pcolormesh(sides, _edges(max_lr), below[:, None], **look)
        lost = ~np.isfinite(mean)
        axes.scatter(np.full(lost.sum(), cycle), max_lr[lost], color=style.GREY, marker="x", s=22)
        axes.plot(cycle, best, "o", color="white", markeredgecolor="black", markersize=6)
    tried = np.concatenate(
        [_edges(mean_by_max_lr(search, int(c))[0]) for c in search.choices["cycle"]]
    )
    cycle_axis(axes, search.choices["cycle"])
    style.max_lr_axis(axes, "y", tried)
    axes.set_ylabel("max_lr (log scale)")
    bar = figure.colorbar(image, ax=axes, pad=0.02, extend="min", aspect=30)
    bar.set_label("validation accuracy, points below the cycle's best")
    bar.outline.set_visible(False)
    return figure


def mean_by_max_lr(search: OracleSearch, cycle: int) -> tuple[Floats, Floats]:
    """Finds what was tried in a cycle and its mean validation accuracy; NaN where one diverged."""
    rows = search.grid["cycle"] == cycle
    stats = over_seeds(search.grid["max_lr"][rows], search.grid["val_accuracy"][rows])
    return stats.keys, stats.mean


def accuracy_by_density(search: OracleSearch) -> Figure:
    """Draws test accuracy of the Oracle and of SILO against density, densest on the left."""
    figure = Figure()
    axes = figure.add_subplot()
    there = np.isfinite(search.choices["density"])
    density = search.choices["density"][there]
    lines = (
        (oracle_accuracy, _ORACLE, "Oracle", "s", "--"),
        (silo_accuracy, _SILO, "SILO", "o", "-"),
    )
    for accuracy, color, label, marker, dashes in lines:
        mean, std, _ = over_present(accuracy(search, "test_accuracy")[there])
        look: Look = {"color": color, "marker": marker, "linestyle": dashes, "markersize": 5}
        axes.plot(density, mean, label=label, **look)
        axes.fill_between(density, mean - std, mean + std, color=color, alpha=0.18, linewidth=0)
    style.density_axis(axes, density)
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
