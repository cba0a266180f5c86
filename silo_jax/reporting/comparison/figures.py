"""The figures of a comparison: each function takes the results and returns a matplotlib figure."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from silo_jax.reporting import style
from silo_jax.reporting.aggregate import over_present
from silo_jax.reporting.comparison.data import grid_rows
from silo_jax.reporting.comparison.numbers import (
    CLAIMED,
    OWN,
    differences,
    scores,
    way_that_counts,
)
from silo_jax.reporting.comparison.results import Comparison

_COLOURS = (
    style.VERMILION,
    style.BLUE,
    style.GREEN,
    style.ORANGE,
    style.SKY,
    style.PURPLE,
    style.GREY,
)
_MARKERS = ("s", "^", "D", "v", "P", "X", "<")
_DASHES = ("-", "--", ":")
WAY_TITLES = {"tuned": "max_lr tuned on the dense network", "hindsight": "max_lr in hindsight"}


def option_styles(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Gives each option its line: the reference the strongest, in black."""
    others = [option for option in comparison.options if option != comparison.reference]
    styles: dict[str, dict[str, Any]] = {
        option: {
            "color": _COLOURS[index % len(_COLOURS)],
            "marker": _MARKERS[index % len(_MARKERS)],
            "linestyle": _DASHES[index // len(_COLOURS) % len(_DASHES)],
            "linewidth": 1.3,
            "markersize": 5,
            "zorder": 2,
        }
        for index, option in enumerate(others)
    }
    strongest = {
        "color": style.BLACK,
        "marker": "o",
        "linewidth": 2.6,
        "markersize": 6,
        "zorder": 4,
    }
    return styles | {comparison.reference: strongest}


def accuracy_by_density(comparison: Comparison) -> Figure:
    """Draws test accuracy against density, a panel a way and a line an option."""
    figure, panels = _panels(comparison)
    styles = option_styles(comparison)
    for axes, way in zip(panels, comparison.ways, strict=True):
        found = scores(comparison, way)
        stats = over_present(found.test)
        for option, mean, std in zip(found.options, stats.mean, stats.std, strict=True):
            line = styles[option]
            axes.plot(found.density, mean, label=option, **line)
            shade = 0.2 if option == comparison.reference else 0.1
            axes.fill_between(
                found.density, mean - std, mean + std, color=line["color"], alpha=shade, linewidth=0
            )
        style.density_axis(axes, found.density)
        style.accuracy_axis(axes, "test")
        axes.set_title(_title(comparison, way), loc="left", fontsize=12)
    _legend(figure, panels[0])
    return figure


def differences_by_density(comparison: Comparison) -> Figure:
    """Draws reference − other in test accuracy against density, a panel an option."""
    found = scores(comparison, way_that_counts(comparison))
    styles = option_styles(comparison)
    others = [option for option in found.options if option != comparison.reference]
    columns = min(2, len(others))
    rows = -(-len(others) // columns)
    figure = Figure(figsize=(8, 1.4 + 2.1 * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes, option in zip(panels, others, strict=False):
        mean, low, high, _ = np.transpose(differences(found, comparison.reference, option))
        color = styles[option]["color"]
        if comparison.along_schedules and option not in OWN:
            axes.axhspan(*CLAIMED, color=style.GREEN, alpha=0.12, linewidth=0)
        axes.axhline(0, color=style.GREY, linewidth=1)
        axes.fill_between(found.density, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(found.density, mean, **styles[option])
        axes.set_title(option, loc="left", fontsize=11)
        style.density_axis(axes, found.density, room=0.17)
        axes.set_xlabel("")
    for axes in panels[len(others) :]:
        axes.set_visible(False)
        grid[-2, -1].tick_params(labelbottom=True)
    figure.supxlabel("density, % of the prunable weights (log scale)", fontsize=12)
    figure.supylabel(f"{comparison.reference} − other, percentage points", fontsize=12)
    return figure


def max_lr_by_cycle(comparison: Comparison) -> Figure:
    """Draws max_lr over the cycles, a panel a way and a line an option."""
    figure, panels = _panels(comparison)
    styles = option_styles(comparison)
    for axes, way in zip(panels, comparison.ways, strict=True):
        found = scores(comparison, way)
        cycles = np.arange(len(found.density))
        for index, option in enumerate(found.options):
            line = styles[option] | {"markevery": (index % len(cycles), len(found.options))}
            axes.plot(cycles, found.cycle_max_lr[index], label=option, **line)
        style.max_lr_axis(axes, "y", found.cycle_max_lr)
        axes.xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
        axes.set(xlabel="cycle", ylabel="max_lr (log scale)", xlim=(-0.5, cycles[-1] + 0.5))
        axes.set_title(_title(comparison, way), loc="left", fontsize=12)
    _legend(figure, panels[0])
    return figure


def accuracy_by_max_lr(comparison: Comparison) -> Figure:
    """Draws validation accuracy against max_lr: of the dense network, and over all cycles."""
    figure = Figure(figsize=(8, 9.5))
    panels = figure.subplots(2, 1, sharex=True)
    styles = option_styles(comparison)
    drawn = (("dense", "tuned", "dense network"), ("all", "hindsight", "mean over all cycles"))
    for axes, (part, way, title) in zip(panels, drawn, strict=True):
        name = f"{part}_val_mean"
        rows = [
            row for row in grid_rows(comparison) if row[f"{part}_seeds"] == len(comparison.seeds)
        ]
        for option in comparison.options:
            line = styles[option]
            own = [row for row in rows if row["option"] == option]
            max_lr, accuracy = ([row[key] for row in own] for key in ("max_lr", name))
            axes.plot(max_lr, accuracy, label=option, **line)
            chosen = [row for row in own if row.get(way)]
            ring = {"markersize": 13, "markerfacecolor": "none", "markeredgewidth": 1.5}
            for row in chosen:
                axes.plot(row["max_lr"], row[name], "o", color=line["color"], **ring, zorder=5)
        axes.set_title(title, loc="left", fontsize=12)
        style.accuracy_axis(axes, "validation", style.focus([row[name] for row in rows]))
    style.max_lr_axis(panels[1], "x", np.array(comparison.max_lrs))
    panels[1].set_xlabel("max_lr of the dense network (log scale)")
    _legend(figure, panels[0])
    return figure


def _panels(comparison: Comparison) -> tuple[Figure, list[Axes]]:
    number = len(comparison.ways)
    figure = Figure(figsize=(8, 1.2 + 4.3 * number))
    return figure, list(np.atleast_1d(figure.subplots(number, 1)))


def _title(comparison: Comparison, way: str) -> str:
    return WAY_TITLES[way] if comparison.along_schedules else ""


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=11)
