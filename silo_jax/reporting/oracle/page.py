"""The page of an Oracle search."""

from os import PathLike
from pathlib import Path

from silo_jax.reporting.oracle import data, figures, tables, text
from silo_jax.reporting.oracle.results import OracleSearch, read_oracle
from silo_jax.reporting.page import Section, write_page
from silo_jax.reporting.style import render_png
from silo_jax.reporting.writing import write_numbers


def write_oracle_report(workdir: str | PathLike[str]) -> Path:
    """Writes oracle_summary.csv, figures/*.png and report.html of an Oracle search.

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
        config=search.config,
        environment=search.environment,
    )


def _sections(search: OracleSearch) -> list[Section]:
    captions = text.captions(search)
    drawings = [
        ("max_lr_by_cycle", "max_lr by cycle", figures.max_lr_by_cycle, tables.max_lr_table),
        ("accuracy_by_max_lr", "Accuracy by max_lr", figures.accuracy_by_max_lr, None),
        (
            "accuracy_by_density",
            "Accuracy by density",
            figures.accuracy_by_density,
            tables.accuracy_table,
        ),
    ]
    shown = [
        Section(
            title,
            captions[name],
            render_png(draw, search),
            table(search)._replace(caption=captions[f"{name}_table"]) if table else None,
            figure=name,
        )
        for name, title, draw, table in drawings
        if search.has_choice.any()
    ]
    if search.fit is not None:
        lines = tables.bounds_table(search.fit.lower, search.fit.upper, search.fit)
        shown += [
            Section("Fitted S-curve", text.fit_caption(search.fit), table=lines),
            Section("Residuals of the fit", table=tables.fit_table(search, search.fit)),
        ]
    return [*shown, Section("Cost", captions["cost"], table=tables.cost_table(search))]
