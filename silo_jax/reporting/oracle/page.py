"""The page of an Oracle search."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from silo_jax.reporting.facts import run_facts
from silo_jax.reporting.interactive import Interactive
from silo_jax.reporting.lines import Numbers
from silo_jax.reporting.oracle import data, figures, interactive, lines, tables, text
from silo_jax.reporting.oracle.results import OracleSearch, read_oracle
from silo_jax.reporting.page import Picture, Section, Table, write_page
from silo_jax.reporting.style import render_png
from silo_jax.reporting.writing import write_numbers


class _Drawing(NamedTuple):
    name: str
    title: str
    draw: Callable[[OracleSearch], Figure]
    numbers: Callable[[OracleSearch], Numbers]
    interactive: Callable[[OracleSearch], Interactive]
    table: Callable[[OracleSearch], Table] | None = None


def write_oracle_report(workdir: str | PathLike[str]) -> Path:
    """Writes oracle_summary.csv, figures and report.html of an Oracle search.

    Args:
        workdir: Folder of the search; see `read_oracle` for the files in it.

    Returns:
        The path of report.html.

    Raises:
        ValueError: If a result file is missing, empty or malformed.
    """
    search = read_oracle(workdir)
    write_numbers(
        search.workdir / "oracle_summary.csv", data.SUMMARY_COLUMNS, data.summary_rows(search)
    )
    return write_page(
        search.workdir,
        title=search.title,
        headline=text.headline(search),
        notes=text.notes(search),
        sections=_sections(search),
        facts=run_facts(search.config, search.environment, search.seconds),
        config=search.config,
    )


def _sections(search: OracleSearch) -> list[Section]:
    captions = text.captions(search)
    drawings = [
        _Drawing(
            "max_lr_by_cycle",
            "max_lr by cycle",
            figures.max_lr_by_cycle,
            lines.max_lr_numbers,
            interactive.max_lr_by_cycle,
            tables.max_lr_table,
        ),
        _Drawing(
            "accuracy_by_max_lr",
            "Accuracy by max_lr",
            figures.accuracy_by_max_lr,
            lines.tried_numbers,
            interactive.accuracy_by_max_lr,
        ),
        _Drawing(
            "accuracy_by_density",
            "Accuracy by density",
            figures.accuracy_by_density,
            lines.accuracy_numbers,
            interactive.accuracy_by_density,
            tables.accuracy_table,
        ),
    ]
    shown = []
    if not len(search.choices["cycle"]) and len(search.silo["cycle"]):
        shown.append(Section("SILO so far", captions["silo"], table=tables.silo_table(search)))
    is_tried = np.isfinite(search.grid["val_accuracy"]).any()
    for one in drawings:
        if not (is_tried if one.name == "accuracy_by_max_lr" else search.has_choice.any()):
            continue
        table = None
        if one.table is not None:
            table = one.table(search)._replace(caption=captions[f"{one.name}_table"])
        picture = Picture(one.name, render_png(one.draw, search), one.numbers(search))
        changeable = one.interactive(search)
        shown.append(Section(one.title, captions[one.name], [picture], table, changeable))
    if search.fit is not None:
        bounds = tables.bounds_table(search.fit.lower, search.fit.upper, search.fit)
        shown += [
            Section("Fitted S-curve", text.fit_caption(search.fit), table=bounds),
            Section("Residuals of the fit", table=tables.fit_table(search, search.fit)),
        ]
    return [*shown, Section("Cost", captions["cost"], table=tables.cost_table(search))]
