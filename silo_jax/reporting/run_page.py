"""The page of a run."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from silo_jax.reporting import figures, summary
from silo_jax.reporting.aggregate import format_percent, over_seeds
from silo_jax.reporting.page import Section, Table, write_page
from silo_jax.reporting.results import RunResults, read_run
from silo_jax.reporting.style import render_png
from silo_jax.reporting.table import results_rows


class _Drawing(NamedTuple):
    name: str
    title: str
    draw: Callable[[RunResults], Figure]
    caption: Callable[[RunResults], str]


_DRAWINGS = (
    _Drawing(
        "accuracy_by_density",
        "Accuracy by density",
        figures.accuracy_by_density,
        summary.accuracy_caption,
    ),
    _Drawing("max_lr_by_cycle", "max_lr by cycle", figures.max_lr_by_cycle, summary.max_lr_caption),
    _Drawing("lr_by_step", "Learning rate by step", figures.lr_by_step, summary.lr_caption),
    _Drawing(
        "training_curves",
        "Loss and accuracy by epoch",
        figures.training_curves,
        summary.training_caption,
    ),
    _Drawing(
        "sparsity_by_layer",
        "Sparsity by layer",
        figures.sparsity_by_layer,
        summary.layers_caption,
    ),
)


def write_run_report(workdir: str | PathLike[str]) -> Path:
    """Writes figures/*.png and report.html from the result files of a run.

    Args:
        workdir: Folder of the run; see `read_run` for the files in it.

    Returns:
        The path of report.html.

    Raises:
        ValueError: If a result file is missing, empty or malformed.
    """
    run = read_run(workdir)
    drawn = [
        Section(one.title, one.caption(run), render_png(one.draw, run), figure=one.name)
        for one in _DRAWINGS
    ]
    results = Section("Results", summary.results_caption(run), table=Table(*results_rows(run)))
    return write_page(
        run.workdir,
        title=run.title,
        headline=summary.headline(run),
        notes=summary.notes(run),
        sections=[results, *drawn, _layers(run)],
        config=run.config,
        environment=run.environment,
    )


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
