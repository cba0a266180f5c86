"""The tables of the premise, on the page and in a terminal."""

from typing import Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable

from silo_jax.reporting.aggregate import format_percent, over_present
from silo_jax.reporting.page import Table
from silo_jax.reporting.premise.numbers import change, fit, format_factor, update_size
from silo_jax.reporting.premise.results import Premise

_NONE = "–"
NAMES = {
    "initialisation": "start",
    "warmed_up": "warmed up",
    "end": "end",
    "gradient": "gradients",
    "before": "before activation",
    "after": "after activation",
}


def changes_table(premise: Premise) -> Table:
    """Builds the table of how each width has changed, a row a quantity and moment."""
    first, last = premise.measured[[0, -1]]
    heads = [
        *("width of", "moment", f"cycle {first}", f"cycle {last}"),
        *("times narrower", "in seeds", "off max_lr"),
    ]
    rows = []
    for quantity in premise.quantities:
        for moment in premise.moments:
            found, compared = change(premise, moment, quantity), fit(premise, moment, quantity)
            cells = [_NONE] * 4
            if found is not None:
                mean, std, seeds = over_present(found.narrowing)
                ends = [f"{found.first:.3g}", f"{found.last:.3g}"]
                narrower = f"{np.sum(found.narrowing > 1)} of {seeds}"
                cells = [*ends, format_factor(float(mean), float(std)), narrower]
            apart = _NONE if compared is None else f"{compared.apart:.3g}"
            rows.append([NAMES[quantity], NAMES[moment], *cells, apart])
    return Table(heads, rows, names=True)


def cycles_table(premise: Premise) -> Table:
    """Builds the table of widths and sizes of updates, a row a cycle."""
    columns = {
        "cycle": [str(cycle) for cycle in premise.measured],
        "density %": [format_percent(density) for density in premise.density],
        "max_lr": _means(premise.by_cycle("max_lr")),
    }
    for quantity in premise.quantities:
        for moment in premise.moments:
            width = premise.width(moment, quantity)
            columns[f"{NAMES[quantity]}, {NAMES[moment]}"] = _means(width)
    for moment in premise.moments:
        columns[f"lr·|g|, {NAMES[moment]}"] = _means(update_size(premise, moment))
    return Table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)])


def premise_table(premise: Premise) -> TerminalTable:
    """Builds the table of changes for a terminal.

    Args:
        premise: Results to show.

    Returns:
        A row a quantity and moment, as on the page.
    """
    heads, rows, *_ = changes_table(premise)
    table = TerminalTable(
        title=premise.title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for index, head in enumerate(heads):
        justify: Literal["left", "right"] = "left" if index < 2 else "right"
        table.add_column(head.replace(" ", "\n", 1), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


def _means(values: np.ndarray) -> list[str]:
    return [f"{mean:.3g}" if np.isfinite(mean) else _NONE for mean in over_present(values).mean]
