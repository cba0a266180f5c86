"""The results table: one row a cycle, over the seeds."""

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from silo_jax.reporting.aggregate import format_percent, format_spread, over_seeds
from silo_jax.reporting.results import RunResults


def results_rows(run: RunResults) -> tuple[list[str], list[list[str]]]:
    """Formats the results of each cycle.

    Args:
        run: Results to show.

    Returns:
        The column heads, and one row of cells a cycle. An unfinished run has one column more, the
        number of seeds that have the cycle.
    """
    cycle = run.cycles["cycle"]
    columns = {
        "cycle": [str(key) for key in np.unique(cycle)],
        "density %": [
            format_percent(value) for value in over_seeds(cycle, run.cycles["density"]).mean
        ],
        "weights left": _cells(run, "weights_left", ",.0f"),
        "max_lr": _cells(run, "max_lr", ".4g"),
        "train loss": _cells(run, "train_loss", ".4f"),
        "val accuracy %": _spreads(run, "val_accuracy"),
        "test accuracy %": _spreads(run, "test_accuracy"),
        "seconds": _seconds(run),
    }
    if not run.finished:
        columns["seeds"] = [str(count) for count in over_seeds(cycle, run.cycles["seed"]).seeds]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def results_table(run: RunResults) -> Table:
    """Builds the results table for a terminal.

    Args:
        run: Results to show.

    Returns:
        One row a cycle: density, weights left, max_lr and train loss as means over the seeds,
        accuracies as mean ± sample standard deviation, seconds as the sum over the seeds.
    """
    heads, rows = results_rows(run)
    table = Table(title=run.title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for head in heads:
        table.add_column(head.replace(" ", "\n", 1), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(run: RunResults, name: str, spec: str) -> list[str]:
    means = over_seeds(run.cycles["cycle"], run.cycles[name]).mean
    return [format(mean, spec) if np.isfinite(mean) else "NaN" for mean in means]


def _spreads(run: RunResults, name: str) -> list[str]:
    stats = over_seeds(run.cycles["cycle"], run.cycles[name])
    return [format_spread(mean, std) for mean, std in zip(stats.mean, stats.std, strict=True)]


def _seconds(run: RunResults) -> list[str]:
    stats = over_seeds(run.cycles["cycle"], run.cycles["seconds"])
    return [format_spread(total, np.nan, digits=1) for total in stats.mean * stats.seeds]
