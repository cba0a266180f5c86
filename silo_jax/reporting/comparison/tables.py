"""The tables of a comparison, on the page and in a terminal."""

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable
from rich.text import Text

from silo_jax.reporting.aggregate import format_percent, format_spread, over_present
from silo_jax.reporting.comparison.data import difference_rows, time_rows
from silo_jax.reporting.comparison.numbers import (
    Scores,
    differences,
    rivals_by_cycle,
    scores,
    way_that_counts,
)
from silo_jax.reporting.comparison.results import Comparison
from silo_jax.reporting.page import Strong, Table
from silo_jax.reporting.paired import format_difference, signed

_ROOMY = 4  # options that fit side by side with their spreads


def accuracy_table(comparison: Comparison, way: str) -> Table:
    """Builds density × option: test accuracy, the best in bold, and the paired difference.

    Args:
        comparison: Results to show.
        way: How max_lr was chosen.

    Returns:
        A row a cycle.
    """
    found = scores(comparison, way)
    rivals = rivals_by_cycle(found, comparison.reference, comparison.apart)
    rows = [
        [
            format_percent(density),
            _difference(found, comparison.reference, rivals[cycle], cycle),
            *_accuracies(comparison, found, cycle),
        ]
        for cycle, density in enumerate(found.density)
    ]
    return Table(["density %", f"{comparison.reference} − best other", *comparison.options], rows)


def differences_table(comparison: Comparison) -> Table:
    """Builds the table of reference − each other over the pruned densities.

    Args:
        comparison: Results to show, with a pruned cycle.

    Returns:
        A row an option other than the reference, in the way that counts.
    """
    rows = []
    for row in difference_rows(comparison):
        if row["way"] == way_that_counts(comparison):
            ends = "–"
            if np.isfinite(row["low"]):
                ends = f"{signed(row['low'])} to {signed(row['high'])}"
            mean = signed(row["difference"]) if row["pairs"] else "–"
            rows.append([row["option"], mean, ends, str(row["pairs"])])
    heads = ["other", "difference", "95 % interval", "seeds"]
    return Table(heads, rows, names=True)


def _accuracies(comparison: Comparison, found: Scores, cycle: int) -> list[str | Strong]:
    stats = over_present(found.test[:, cycle])
    best = np.max(stats.mean[np.isfinite(stats.mean)], initial=-np.inf)
    cells: list[str | Strong] = []
    for mean, std, seeds in zip(*stats, strict=True):
        few = f" ({seeds})" if 0 < seeds < len(comparison.seeds) else ""
        text = f"{format_spread(mean, std)}{few}" if seeds else "–"
        cells.append(Strong(text) if mean == best else text)
    return cells


def _difference(found: Scores, reference: str, other: str | None, cycle: int) -> str:
    paired = differences(found, reference, other)[cycle]
    few = f" ({paired.pairs})" if 0 < paired.pairs < found.test.shape[-1] else ""
    return f"{format_difference(paired)}{few}"


def comparison_table(comparison: Comparison, way: str | None = None) -> TerminalTable:
    """Builds the table of one way for a terminal.

    Args:
        comparison: Results to show.
        way: How max_lr was chosen; without it the way that counts.

    Returns:
        The table of the page; the best is bold.
    """
    shown = way or way_that_counts(comparison)
    heads, rows, *_ = accuracy_table(comparison, shown)
    title = f"{comparison.title} ({shown})" if comparison.along_schedules else comparison.title
    table = TerminalTable(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for head in heads:
        head = head.replace("_", "_\n").replace("density ", "density\n")
        table.add_column(Text(head), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*(_terminal_cell(cell, len(comparison.options)) for cell in row))
    return table


def _terminal_cell(cell: str | Strong, options: int) -> Text:
    """Breaks a cell's line before its spread or interval where there are many columns."""
    text, weight = (cell.text, "bold") if isinstance(cell, Strong) else (cell, "")
    if options > _ROOMY:
        text = text.replace(" ±", "\n±").replace(" [", "\n[")
    return Text(text, weight)


def time_table(comparison: Comparison) -> Table:
    """Builds the table of what the options cost.

    Args:
        comparison: Results to show.

    Returns:
        A row an option, and their total.
    """
    rows = time_rows(comparison)
    names = ("networks", "steps", "seconds")
    total = {"option": "all"} | {name: sum(row[name] for row in rows) for name in names}
    total["ms_per_step"] = 1000 * total["seconds"] / total["steps"] if total["steps"] else np.nan
    cells = [
        [
            row["option"],
            f"{row['networks']:,}",
            f"{row['steps']:,.0f}",
            f"{row['seconds']:,.1f}",
            f"{row['ms_per_step']:.3g}" if row["steps"] else "–",
        ]
        for row in [*rows, total]
    ]
    heads = ["option", "networks", "training steps", "seconds", "ms per step"]
    return Table(heads, cells, names=True, total=True)
