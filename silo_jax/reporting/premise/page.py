"""The page of a measurement of the premise."""

from os import PathLike
from pathlib import Path

from silo_jax.reporting.page import Section, write_page
from silo_jax.reporting.premise import figures, tables, text
from silo_jax.reporting.premise.results import MOMENTS, QUANTITIES, Premise, read_premise
from silo_jax.reporting.style import render_png


def write_premise_report(workdir: str | PathLike[str]) -> Path:
    """Writes figures/*.png and report.html of a measurement of the premise.

    Args:
        workdir: Folder of the measurement; see `read_premise` for the files in it.

    Returns:
        The path of report.html.

    Raises:
        ValueError: If a result file is missing, empty or malformed.
    """
    premise = read_premise(workdir)
    return write_page(
        premise.workdir,
        title=premise.title,
        headline=text.headline(premise),
        notes=text.notes(premise),
        sections=_sections(premise),
        config=premise.config,
        environment=premise.environment,
    )


def _sections(premise: Premise) -> list[Section]:
    captions = text.captions(premise)
    drawings = (
        ("inverse_widths", "1/width beside max_lr", figures.inverse_widths),
        ("widths_by_density", "Widths by density", figures.widths_by_density),
        ("update_by_density", "Size of the updates by density", figures.update_by_density),
    )
    return [
        Section("Widths", captions["changes"], table=tables.changes_table(premise)),
        *(
            Section(title, captions[name], render_png(draw, premise), figure=name)
            for name, title, draw in drawings
        ),
        *(
            Section(
                f"Histograms {MOMENTS[moment]}",
                captions["histograms"],
                render_png(figures.histograms, premise, moment),
                figure=f"histograms_{moment}",
            )
            for moment in premise.moments
        ),
        *(
            Section(
                f"Widths by layer: {QUANTITIES[quantity]}",
                captions["widths_by_layer"],
                render_png(figures.widths_by_layer, premise, quantity),
                figure=f"widths_by_layer_{quantity}",
            )
            for quantity in premise.quantities
        ),
        Section("Cycles", captions["cycles"], table=tables.cycles_table(premise)),
    ]
