"""The page of a measurement of the premise."""

from os import PathLike
from pathlib import Path

from silo_jax.reporting.facts import run_facts
from silo_jax.reporting.page import Picture, Section, write_page
from silo_jax.reporting.premise import figures, interactive, lines, tables, text
from silo_jax.reporting.premise.results import Premise, read_premise
from silo_jax.reporting.style import render_png


def write_premise_report(workdir: str | PathLike[str]) -> Path:
    """Writes figures and report.html of a measurement of the premise.

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
        facts=run_facts(premise.config, premise.environment, premise.seconds),
        config=premise.config,
    )


def _sections(premise: Premise) -> list[Section]:
    captions = text.captions(premise)
    drawings = (
        (
            "inverse_widths",
            "1/width beside max_lr",
            figures.inverse_widths,
            lines.inverse_numbers,
            interactive.inverse_widths,
        ),
        (
            "widths_by_density",
            "Widths by density",
            figures.widths_by_density,
            lines.width_numbers,
            interactive.widths_by_density,
        ),
        (
            "update_by_density",
            "Size of the updates by density",
            figures.update_by_density,
            lines.update_numbers,
            interactive.update_by_density,
        ),
    )
    shown = [Section("Widths", captions["changes"], table=tables.changes_table(premise))]
    for name, title, draw, numbers, changeable in drawings:
        pictures = [Picture(name, render_png(draw, premise), numbers(premise))]
        shown.append(Section(title, captions[name], pictures, interactive=changeable(premise)))
    return [
        *shown,
        Section(
            "Histograms",
            captions["histograms"],
            [_histograms(premise, moment) for moment in premise.moments],
            interactive=interactive.histograms(premise),
        ),
        Section(
            "Widths by layer",
            captions["widths_by_layer"],
            [_by_layer(premise, quantity) for quantity in premise.quantities],
            interactive=interactive.widths_by_layer(premise),
        ),
        Section("Cycles", captions["cycles"], table=tables.cycles_table(premise)),
    ]


def _histograms(premise: Premise, moment: str) -> Picture:
    png = render_png(figures.histograms, premise, moment)
    return Picture(f"histograms_{moment}", png, lines.histogram_numbers(premise, moment))


def _by_layer(premise: Premise, quantity: str) -> Picture:
    png = render_png(figures.widths_by_layer, premise, quantity)
    return Picture(f"widths_by_layer_{quantity}", png, lines.layer_numbers(premise, quantity))
