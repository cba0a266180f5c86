"""The tables of an Oracle search, on the page and in a terminal."""

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable
from rich.text import Text

from silo_jax.reporting.aggregate import format_percent, format_spread, over_present, over_seeds
from silo_jax.reporting.oracle.data import inside_by_cycle
from silo_jax.reporting.oracle.numbers import (
    Floats,
    accuracy_differences,
    cost,
    curve_by_cycle,
    fit_residuals,
    oracle_accuracy,
    silo_accuracy,
)
from silo_jax.reporting.oracle.results import Curve, OracleSearch
from silo_jax.reporting.page import Table
from silo_jax.reporting.paired import format_difference, signed

_WITHOUT_SILO = ("cycle", "density %", "Oracle max_lr", "interval", "Oracle test %")


def max_lr_table(search: OracleSearch) -> Table:
    """Builds the table of the Oracle's max_lr, its intervals, and SILO's beside them.

    Args:
        search: Results to show.

    Returns:
        A row a cycle.
    """
    inside = inside_by_cycle(search)
    return _table(
        search,
        {
            "Oracle max_lr": [number(value) for value in search.choices["max_lr"]],
            "interval": intervals(search),
            "one standard error": intervals(search, "se_"),
            "SILO max_lr": [number(value) for value in inside["silo_max_lr"]],
            "inside": [shown(value, "yes" if value else "no") for value in inside["inside"]],
        },
    )


def accuracy_table(search: OracleSearch) -> Table:
    """Builds the table of test accuracy of the Oracle and of SILO, and the paired difference.

    Args:
        search: Results to show.

    Returns:
        A row a cycle.
    """
    each, _ = accuracy_differences(search)
    return _table(
        search,
        {
            "Oracle test %": _spreads(oracle_accuracy(search, "test_accuracy")),
            "SILO test %": _spreads(silo_accuracy(search, "test_accuracy")),
            "SILO − Oracle": [format_difference(paired) for paired in each],
        },
    )


def fit_table(search: OracleSearch, fit: Curve) -> Table:
    """Builds the table of a fitted S-curve beside the Oracle's choices.

    Args:
        search: Results to show.
        fit: The S-curve.

    Returns:
        A row a cycle, with the residual curve / max_lr − 1.
    """
    residuals = fit_residuals(fit, search)
    return _table(
        search,
        {
            "Oracle max_lr": [number(value) for value in search.choices["max_lr"]],
            "S-curve": [number(value) for value in curve_by_cycle(fit, search)],
            "residual %": [shown(value, signed(100 * value)) for value in residuals],
        },
    )


def _table(search: OracleSearch, columns: dict[str, list[str]]) -> Table:
    first = {
        "cycle": [str(cycle) for cycle in search.choices["cycle"]],
        "density %": [shown(value, format_percent(value)) for value in search.choices["density"]],
    }
    rows = list(zip(*(first | columns).values(), strict=True))
    return Table([*first, *columns], rows)


def oracle_table(search: OracleSearch) -> TerminalTable:
    """Builds the table of max_lr and accuracy for a terminal.

    Args:
        search: Results to show.

    Returns:
        A row a cycle, without the intervals of one standard error; where bounds are tuned, also
        without SILO.
    """
    table = TerminalTable(
        title=search.title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    max_lr, accuracy = max_lr_table(search), accuracy_table(search)
    heads = [*max_lr.heads, *accuracy.heads[2:]]
    shown = [
        place
        for place, head in enumerate(heads)
        if head != "one standard error" and (search.kind == "oracle" or head in _WITHOUT_SILO)
    ]
    for place in shown:
        head = heads[place] if search.kind == "oracle" else heads[place].removeprefix("Oracle ")
        table.add_column(head.replace(" ", "\n", 1), justify="right", overflow="fold")
    for left, right in zip(max_lr.rows, accuracy.rows, strict=True):
        cells = [str(cell) for cell in (*left, *right[2:])]
        table.add_row(*(_terminal_cell(cells[place]) for place in shown))
    return table


def _terminal_cell(cell: str) -> Text:
    """Breaks a cell's line before its spread or interval, and within the Oracle interval."""
    for mark, broken in ((" ±", "\n±"), (" [", "\n["), ("–", "–\n")):
        cell = cell.replace(mark, broken) if len(cell) > 1 else cell
    return Text(cell)


def intervals(search: OracleSearch, part: str = "") -> list[str]:
    """Writes the Oracle intervals, with … where one reaches the end of what was tried.

    Args:
        search: Results to show.
        part: "" for those of the tolerance, "se_" for those of one standard error.
    """
    ends = ("low", "high", "low_open", "high_open")
    columns = (search.choices[f"{part}{end}"].tolist() for end in ends)
    return [
        shown(
            low,
            f"{'…' * (low_open == 1)}{low:.3g}–{high:.3g}{'…' * (high_open == 1)}",
        )
        for low, high, low_open, high_open in zip(*columns, strict=True)
    ]


def silo_table(search: OracleSearch) -> Table:
    """Builds the table of SILO's own run, for a search that has nothing to set beside it yet."""
    silo = search.silo
    finished = silo["diverged"] == 0
    cycle = silo["cycle"][finished]
    stats = {
        name: over_seeds(cycle, silo[name][finished])
        for name in ("density", "max_lr", "val_accuracy", "test_accuracy")
    }
    columns = {
        "cycle": [str(key) for key in stats["density"].keys],
        "density %": [format_percent(value) for value in stats["density"].mean],
        "max_lr": [number(value) for value in stats["max_lr"].mean],
    }
    for head, name in (("val accuracy %", "val_accuracy"), ("test accuracy %", "test_accuracy")):
        pairs = zip(stats[name].mean, stats[name].std, strict=True)
        columns[head] = [format_spread(mean, std) for mean, std in pairs]
    columns["seeds"] = [str(seeds) for seeds in stats["density"].seeds]
    return Table(list(columns), list(zip(*columns.values(), strict=True)))


def cost_table(search: OracleSearch) -> Table:
    """Builds the table of what the Oracle and SILO cost, and their ratio."""
    oracle, silo = cost(search.grid), cost(search.silo)
    rows = [
        [name, f"{spent.networks:,}", f"{spent.steps:,.0f}", f"{spent.seconds:,.1f}"]
        for name, spent in (("Oracle", oracle), ("SILO", silo))
    ]
    ratios = [f"{a / b:.3g}" if b else "–" for a, b in zip(oracle, silo, strict=True)]
    heads = ["", "networks", "training steps", "seconds"]
    return Table(heads, [*rows, ["ratio", *ratios]], names=True, total=True)


def bounds_table(lower: float, upper: float, curve: Curve | None = None) -> Table:
    """Builds the config lines that use the bounds, or the whole curve."""
    fields: dict[str, float] = {"lower": lower, "upper": upper}
    if curve is not None:
        fields |= {"steepness": curve.steepness, "delay": curve.delay}
    lines = [[f"config.schedule.{name} = {value:.4g}"] for name, value in fields.items()]
    return Table(["config lines"], lines, names=True)


def _spreads(accuracy: Floats) -> list[str]:
    stats = over_present(accuracy)
    return [
        format_spread(mean, std) if seeds else "–" for mean, std, seeds in zip(*stats, strict=True)
    ]


def number(value: float) -> str:
    """Writes a max_lr, or "–" where there is none."""
    return shown(value, f"{value:.3g}")


def shown(value: float, text: str) -> str:
    """Takes the text of a value, or "–" where the value is NaN."""
    return text if np.isfinite(value) else "–"
