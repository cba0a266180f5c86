"""The figures of a comparison: each function takes the results and returns a matplotlib figure."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from silo_jax.reporting import style
from silo_jax.reporting.comparison import lines
from silo_jax.reporting.comparison.numbers import CLAIMED
from silo_jax.reporting.comparison.results import Comparison
from silo_jax.reporting.lines import Line, draw_line

WAY_TITLES = {"tuned": "max_lr tuned on the dense network", "hindsight": "max_lr in hindsight"}


def option_styles(comparison: Comparison) -> dict[str, style.Look]:
    """Gives each option its line: the reference the strongest, in black, drawn last."""
    others = [option for option in comparison.options if option != comparison.reference]
    strongest = {
        "color": style.BLACK,
        "marker": "o",
        "linewidth": 2.6,
        "markersize": 6,
        "zorder": 4,
    }
    return style.looks_of(others) | {comparison.reference: strongest}


def accuracy_by_density(comparison: Comparison) -> Figure:
    """Draws test accuracy against density, a panel a way and a line an option.

    Lines of options that are no rivals may leave the panel below.
    """
    figure, panels = _panels(comparison)
    styles = option_styles(comparison)
    for axes, way in zip(panels, comparison.ways, strict=True):
        drawn = lines.accuracy_lines(comparison, way)
        for line in drawn:
            shade = 0.2 if line.name == comparison.reference else 0.1
            draw_line(axes, line, shade=shade, **styles[line.name])
        style.density_axis(axes, comparison.density)
        rivals = [line for line in drawn if line.name not in comparison.apart]
        style.accuracy_axis(axes, "test", _span(rivals)[0] if len(rivals) < len(drawn) else None)
        axes.set_title(_title(comparison, way), loc="left", fontsize=12)
    _legend(figure, panels[0])
    return figure


def differences_by_density(comparison: Comparison) -> Figure:
    """Draws reference − other in test accuracy against density, a panel an option.

    Lines of options that are no rivals may leave their panel.
    """
    styles = option_styles(comparison)
    others = lines.difference_lines(comparison)
    columns = min(2, len(others))
    rows = -(-len(others) // columns)
    figure = Figure(figsize=(8, 1.4 + 2.1 * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes, line in zip(panels, others, strict=False):
        if comparison.is_claimed(line.name):
            axes.axhspan(*CLAIMED, color=style.GREEN, alpha=0.12, linewidth=0)
        axes.axhline(0, color=style.GREY, linewidth=1)
        draw_line(axes, line, shade=0.2, **styles[line.name])
        axes.set_title(line.name, loc="left", fontsize=11)
        style.density_axis(axes, line.x, room=0.17)
        axes.set_xlabel("")
    rivals = [line for line in others if line.name not in comparison.apart]
    if len(rivals) < len(others):
        panels[0].set_ylim(*_span(rivals, CLAIMED))
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
        drawn = lines.max_lr_lines(comparison, way)
        cycles = comparison.cycles_done
        for index, line in enumerate(drawn):
            look = styles[line.name] | {"markevery": (index % cycles, len(drawn))}
            draw_line(axes, line, **look)
        style.max_lr_axis(axes, "y", np.concatenate([[], *(line.y for line in drawn)]))
        axes.xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
        axes.set(xlabel="cycle", ylabel="max_lr (log scale)", xlim=(-0.5, cycles - 0.5))
        axes.set_title(_title(comparison, way), loc="left", fontsize=12)
    _legend(figure, panels[0])
    return figure


def accuracy_by_max_lr(comparison: Comparison) -> Figure:
    """Draws validation accuracy against max_lr: of the dense network, and over all cycles."""
    figure = Figure(figsize=(8, 9.5))
    panels = figure.subplots(2, 1, sharex=True)
    styles = option_styles(comparison)
    found = lines.choice_lines(comparison)
    drawn: tuple[tuple[int | str, str], ...]
    drawn = ((0, "dense network"), (lines.EVERY, "mean over all cycles"))
    ring: style.Look = {
        "markersize": 13,
        "markerfacecolor": "none",
        "markeredgewidth": 1.5,
        "zorder": 5,
    }
    for axes, (cycle, title) in zip(panels, drawn, strict=True):
        own = lines.of_cycle(found, cycle)
        for line in own:
            draw_line(axes, line, **styles[line.name])
            chosen = line.told["chosen"] == 1
            color = styles[line.name]["color"]
            axes.plot(line.x[chosen], line.y[chosen], "o", color=color, **ring)
        axes.set_title(title, loc="left", fontsize=12)
        heights = np.concatenate([[], *(line.y for line in own)])
        style.accuracy_axis(axes, "validation", style.focus(heights))
    style.max_lr_axis(panels[1], "x", np.array(comparison.max_lrs))
    panels[1].set_xlabel("max_lr of the dense network (log scale)")
    _legend(figure, panels[0])
    return figure


def _span(drawn: Sequence[Line], also: Iterable[float] = ()) -> tuple[float | None, float | None]:
    """The ends of an axis on which there is room for some lines and values; None without any."""
    ends = (end for line in drawn for end in (line.y, line.low, line.high) if end is not None)
    heights = np.concatenate([[], list(also), *ends])
    heights = heights[np.isfinite(heights)]
    if not heights.size:
        return None, None
    margin = 0.05 * float(np.ptp(heights))
    return float(heights.min()) - margin, float(heights.max()) + margin


def _panels(comparison: Comparison) -> tuple[Figure, list[Axes]]:
    number = len(comparison.ways)
    figure = Figure(figsize=(8, 1.2 + 4.3 * number))
    return figure, list(np.atleast_1d(figure.subplots(number, 1)))


def _title(comparison: Comparison, way: str) -> str:
    return WAY_TITLES[way] if comparison.along_schedules else ""


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=11)
