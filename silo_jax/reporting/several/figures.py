"""The figures of several runs, for files and for the page."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from silo_jax.reporting import style
from silo_jax.reporting.interactive import (
    Control,
    Interactive,
    Part,
    boxes,
    colour,
    density_ticks,
    line_traces,
    log_axis,
    menu,
    titled,
)
from silo_jax.reporting.lines import Line
from silo_jax.reporting.several.runs import SPLITS, Runs, accuracy_lines, max_lr_lines


def accuracy_by_density(runs: Runs) -> Figure:
    """Draws test accuracy against density, a line a run, with error bars over its seeds."""
    figure = Figure(figsize=(8, 5.5))
    axes = figure.add_subplot()
    looks = _looks(runs)
    lines = accuracy_lines(runs, "test")
    for line in lines:
        bars = np.nan_to_num(_halves(line))
        axes.errorbar(line.x, line.y, bars, label=line.name, capsize=3, **looks[line.name])
    style.density_axis(axes, np.concatenate([line.x for line in lines]))
    style.accuracy_axis(axes, "test")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def max_lr_by_cycle(runs: Runs) -> Figure:
    """Draws max_lr over the cycles, a line a run."""
    figure = Figure(figsize=(8, 5.5))
    axes = figure.add_subplot()
    looks = _looks(runs)
    lines = max_lr_lines(runs)
    for line in lines:
        axes.plot(line.x, line.y, label=line.name, **looks[line.name])
    style.max_lr_axis(axes, "y", np.concatenate([line.y for line in lines]))
    axes.xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
    axes.set(xlabel="cycle", ylabel="max_lr (log scale)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def interactive_accuracy(runs: Runs) -> Interactive:
    """Test or validation accuracy against density of the runs picked."""
    looks, traces, drawn = _looks(runs), [], []
    for split in SPLITS:
        for line in accuracy_lines(runs, split):
            drawn.append(line.x)
            bars = {"type": "data", "array": _halves(line), "thickness": 1.2, "width": 4}
            bars["color"] = colour(looks[line.name]["color"])
            traces += line_traces(
                line._replace(low=None, high=None),
                looks[line.name],
                pick={"split": [split], "run": [line.name]},
                hover="density %{x:.3~%}: %{y:.2f} %",
                error_y=bars,
            )
    layout = {"xaxis": density_ticks(np.concatenate(drawn)), "yaxis": titled("accuracy, %")}
    return Interactive(
        traces,
        [Part(layout | {"showlegend": False})],
        [menu("split", "accuracy", [(split, split) for split in SPLITS]), _boxes(runs)],
    )


def interactive_max_lr(runs: Runs) -> Interactive:
    """max_lr over the cycles of the runs picked."""
    looks = _looks(runs)
    traces = [
        part
        for line in max_lr_lines(runs)
        for part in line_traces(
            line, looks[line.name], pick={"run": [line.name]}, hover="cycle %{x}: %{y:.4~g}"
        )
    ]
    heights = np.concatenate([line.y for line in max_lr_lines(runs)])
    layout = {"xaxis": titled("cycle"), "yaxis": log_axis("max_lr (log scale)", heights)}
    return Interactive(traces, [Part(layout | {"showlegend": False})], [_boxes(runs)])


def _looks(runs: Runs) -> Mapping[str, style.Look]:
    return style.looks_of([*runs.by_name])


def _boxes(runs: Runs) -> Control:
    return boxes("run", "runs", _looks(runs))


def _halves(line: Line) -> np.ndarray:
    """Half the lengths of the error bars."""
    assert line.high is not None, "a mean over seeds has a spread"
    return line.high - line.y
