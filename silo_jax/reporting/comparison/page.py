"""The page of a comparison."""

from os import PathLike
from pathlib import Path

import numpy as np

from silo_jax.reporting.comparison import data, figures, interactive, tables, text
from silo_jax.reporting.comparison.results import Comparison, read_comparison
from silo_jax.reporting.facts import run_facts
from silo_jax.reporting.page import Picture, Section, write_page
from silo_jax.reporting.style import render_png
from silo_jax.reporting.writing import write_numbers


def write_comparison_report(workdir: str | PathLike[str]) -> Path:
    """Writes tables.csv, grid.csv, differences.csv, time.csv, figures and report.html.

    Args:
        workdir: Folder of the comparison; see `read_comparison` for the files in it.

    Returns:
        The path of report.html.

    Raises:
        ValueError: If a result file is missing, empty or malformed.
    """
    comparison = read_comparison(workdir)
    folder = comparison.workdir
    write_numbers(folder / "tables.csv", data.ACCURACY_COLUMNS, data.accuracy_rows(comparison))
    write_numbers(folder / "grid.csv", data.GRID_COLUMNS, data.grid_rows(comparison))
    write_numbers(folder / "time.csv", data.TIME_COLUMNS, data.time_rows(comparison))
    each = data.difference_rows(comparison)
    write_numbers(folder / "differences.csv", data.DIFFERENCE_COLUMNS, each)
    seconds = float(np.nansum(comparison.cells["seconds"]))
    return write_page(
        folder,
        title=comparison.title,
        headline=text.headline(comparison),
        notes=text.notes(comparison),
        sections=_sections(comparison),
        facts=run_facts(comparison.config, comparison.environment, seconds),
        config=comparison.config,
    )


def _sections(comparison: Comparison) -> list[Section]:
    shown = [
        Section(
            text.table_title(comparison, way),
            text.table_caption(comparison, way),
            table=tables.accuracy_table(comparison, way),
        )
        for way in reversed(comparison.ways)
    ]
    drawings = [
        ("accuracy_by_density", "Accuracy by density", figures.accuracy_by_density),
        ("differences_by_density", "Differences by density", figures.differences_by_density),
        ("max_lr_by_cycle", "max_lr by cycle", figures.max_lr_by_cycle),
    ]
    if comparison.along_schedules:
        drawings.append(("accuracy_by_max_lr", "The choice of max_lr", figures.accuracy_by_max_lr))
    captions = text.captions(comparison)
    if comparison.cycles_done > 1:
        each = tables.differences_table(comparison)
        title = f"{comparison.reference} − each {text.noun(comparison)}"
        shown.append(Section(title, captions["differences"], table=each))
    for name, title, draw in drawings:
        numbers = data.FIGURES[name](comparison)
        picture = Picture(name, render_png(draw, comparison), numbers)
        changeable = interactive.FIGURES[name](comparison)
        shown.append(Section(title, captions[name], [picture], interactive=changeable))
    return [*shown, Section("Time", captions["time"], table=tables.time_table(comparison))]
