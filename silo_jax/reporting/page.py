"""The report: figure files and one self-contained HTML page."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from matplotlib.figure import Figure

from silo_jax.files import write_atomically
from silo_jax.reporting import figures, summary
from silo_jax.reporting.aggregate import format_percent, over_seeds
from silo_jax.reporting.results import RunResults, read_run
from silo_jax.reporting.table import results_rows


class _Section(NamedTuple):
    name: str
    title: str
    draw: Callable[[RunResults], Figure]
    caption: Callable[[RunResults], str]


_SECTIONS = (
    _Section(
        "accuracy_by_density",
        "Accuracy by density",
        figures.accuracy_by_density,
        summary.accuracy_caption,
    ),
    _Section("max_lr_by_cycle", "max_lr by cycle", figures.max_lr_by_cycle, summary.max_lr_caption),
    _Section("lr_by_step", "Learning rate by step", figures.lr_by_step, summary.lr_caption),
    _Section(
        "training_curves",
        "Loss and accuracy by epoch",
        figures.training_curves,
        summary.training_caption,
    ),
    _Section(
        "sparsity_by_layer",
        "Sparsity by layer",
        figures.sparsity_by_layer,
        summary.layers_caption,
    ),
)


def write_report(workdir: str | PathLike[str]) -> Path:
    """Writes figures/*.png and report.html from the result files of a run.

    Args:
        workdir: Folder of the run; see `read_run` for the files in it.

    Returns:
        The path of report.html, a page that needs no other file.

    Raises:
        ValueError: If a result file is missing, empty or malformed.
    """
    run = read_run(workdir)
    folder = run.workdir / "figures"
    folder.mkdir(exist_ok=True)
    shown = []
    for section in _SECTIONS:
        png = figures.render_png(section.draw, run)
        write_atomically(folder / f"{section.name}.png", png)
        data = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
        shown.append({"title": section.title, "caption": section.caption(run), "data": data})
    page = run.workdir / "report.html"
    write_atomically(page, _render(run, shown))
    return page


def _render(run: RunResults, shown: list[dict[str, str]]) -> str:
    template = resources.files(__package__).joinpath("report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    heads, rows = results_rows(run)
    return environment.from_string(template).render(
        title=run.title,
        headline=summary.headline(run),
        notes=summary.notes(run),
        results_caption=summary.results_caption(run),
        heads=heads,
        rows=rows,
        sections=shown,
        last_cycle=run.layers["cycle"].max(),
        layers=_layer_rows(run),
        config=list(_dotted(run.config)),
        environment=run.environment,
    )


def _layer_rows(run: RunResults) -> list[tuple[str, str, str, str]]:
    """Formats the layers of the last cycle, means over the seeds, and their total."""
    last = run.layers["cycle"] == run.layers["cycle"].max()
    names, sizes, kept = (run.layers[column][last] for column in ("layer", "size", "kept"))
    seeds = len(set(run.layers["seed"][last]))
    order = list(dict.fromkeys(names))
    index = [order.index(name) for name in names]
    size, left = over_seeds(index, sizes).mean, over_seeds(index, kept).mean
    rows = [*zip(order, size, left, strict=True), ("all", sizes.sum() / seeds, kept.sum() / seeds)]
    return [(name, f"{s:,.0f}", f"{k:,.0f}", format_percent(k / s)) for name, s, k in rows]


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{key}", text
