"""The page of a run."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from silo_jax.reporting import figures, run_interactive, run_numbers, summary
from silo_jax.reporting.aggregate import format_percent, over_seeds
from silo_jax.reporting.facts import run_facts
from silo_jax.reporting.interactive import Interactive
from silo_jax.reporting.lines import Numbers, line_numbers
from silo_jax.reporting.page import Picture, Section, Table, write_page
from silo_jax.reporting.results import RunResults, read_run
from silo_jax.reporting.style import render_png
from silo_jax.reporting.table import results_rows


class _Drawing(NamedTuple):
    name: str
    title: str
    draw: Callable[[RunResults], Figure]
    numbers: Callable[[RunResults], Numbers]
    caption: Callable[[RunResults], str]
    interactive: Callable[[RunResults], Interactive] | None = None


def _accuracy(run: RunResults) -> Numbers:
    lines = run_numbers.accuracy_lines(run)
    return line_numbers(lines, name="split", x="density", y="accuracy")


def _max_lr(run: RunResults) -> Numbers:
    return line_numbers(run_numbers.max_lr_lines(run), name="quantity", x="cycle", y="value")


def _lr(run: RunResults) -> Numbers:
    return line_numbers([run_numbers.lr_line(run)], name="quantity", x="step", y="lr")


def _training(run: RunResults) -> Numbers:
    lines = [
        line
        for quantity in run_numbers.QUANTITIES
        for split in run_numbers.SPLITS
        for line in run_numbers.training_lines(run, quantity, split)
    ]
    return line_numbers(lines, name="split", x="epoch", y="value")


_OF_CYCLES = (
    _Drawing(
        "accuracy_by_density",
        "Accuracy by density",
        figures.accuracy_by_density,
        _accuracy,
        summary.accuracy_caption,
        run_interactive.accuracy_by_density,
    ),
    _Drawing(
        "max_lr_by_cycle",
        "max_lr by cycle",
        figures.max_lr_by_cycle,
        _max_lr,
        summary.max_lr_caption,
        run_interactive.max_lr_by_cycle,
    ),
)
_OF_EPOCHS = (
    _Drawing(
        "lr_by_step",
        "Learning rate by step",
        figures.lr_by_step,
        _lr,
        summary.lr_caption,
        run_interactive.lr_by_step,
    ),
    _Drawing(
        "training_curves",
        "Loss and accuracy by epoch",
        figures.training_curves,
        _training,
        summary.training_caption,
        run_interactive.training_curves,
    ),
)
_OF_LAYERS = (
    _Drawing(
        "sparsity_by_layer",
        "Sparsity by layer",
        figures.sparsity_by_layer,
        run_numbers.layer_numbers,
        summary.layers_caption,
        run_interactive.sparsity_by_layer,
    ),
)


def write_run_report(workdir: str | PathLike[str]) -> Path:
    """Writes figures and report.html from the result files of a run, also of one that is going on.

    Args:
        workdir: Folder of the run; see `read_run` for the files in it.

    Returns:
        The path of report.html.

    Raises:
        ValueError: If a result file is missing or malformed, or nothing was trained yet.
    """
    run = read_run(workdir, may_lack_cycles=True)
    drawings: tuple[_Drawing, ...] = _OF_EPOCHS
    results = []
    if run.has_cycles:
        drawings = (*_OF_CYCLES, *_OF_EPOCHS, *_OF_LAYERS)
        table = Table(*results_rows(run))
        results = [Section("Results", summary.results_caption(run), table=table)]
    layers = [_layers(run)] if run.has_cycles else []
    return write_page(
        run.workdir,
        title=run.title,
        headline=summary.headline(run),
        notes=summary.notes(run),
        sections=[*results, *(_section(one, run) for one in drawings), *layers],
        facts=run_facts(run.config, run.environment, float(np.nansum(run.metrics["seconds"]))),
        config=run.config,
    )


def _section(one: _Drawing, run: RunResults) -> Section:
    picture = Picture(one.name, render_png(one.draw, run), one.numbers(run))
    interactive = one.interactive(run) if one.interactive is not None else None
    return Section(one.title, one.caption(run), [picture], interactive=interactive)


def _layers(run: RunResults) -> Section:
    """Tells the layers of the last cycle, means over the seeds, and their total."""
    cycle = run.layers["cycle"].max()
    last = run.layers["cycle"] == cycle
    names, sizes, kept = (run.layers[column][last] for column in ("layer", "size", "kept"))
    seeds = len(set(run.layers["seed"][last]))
    order = list(dict.fromkeys(names))
    index = [order.index(name) for name in names]
    size, left = over_seeds(index, sizes).mean, over_seeds(index, kept).mean
    rows = [*zip(order, size, left, strict=True), ("all", sizes.sum() / seeds, kept.sum() / seeds)]
    cells = [(name, f"{s:,.0f}", f"{k:,.0f}", format_percent(k / s)) for name, s, k in rows]
    heads = ["layer", "weights", "left", "density %"]
    return Section(f"Layers in cycle {cycle}", table=Table(heads, cells, names=True, total=True))
