"""The numbers behind a comparison's tables and figures, a row each, for CSV files."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import over_present
from silo_jax.reporting.comparison import lines
from silo_jax.reporting.comparison.numbers import (
    Scores,
    contest,
    over_pruned,
    overall_difference,
    rivals_by_cycle,
    scores,
    seeds_by_cycle,
)
from silo_jax.reporting.comparison.results import Comparison
from silo_jax.reporting.lines import Numbers, line_numbers
from silo_jax.reporting.paired import paired_difference

Row = dict[str, Any]

ACCURACY_COLUMNS = (
    "way",
    "cycle",
    "density",
    "option",
    "max_lr",
    "cycle_max_lr",
    "val_mean",
    "val_std",
    "test_mean",
    "test_std",
    "seeds",
    "best",
    "best_other",
    "difference",
    "difference_low",
    "difference_high",
    "pairs",
)
GRID_COLUMNS = (
    "option",
    "max_lr",
    "dense_val_mean",
    "dense_val_std",
    "dense_seeds",
    "all_val_mean",
    "all_val_std",
    "all_seeds",
    "tuned",
    "hindsight",
)
DIFFERENCE_COLUMNS = ("way", "option", "difference", "low", "high", "pairs", "best_rival")
TIME_COLUMNS = ("option", "networks", "steps", "seconds", "ms_per_step")


def accuracy_rows(comparison: Comparison) -> list[Row]:
    """Lists the numbers of the accuracy tables and figures.

    Args:
        comparison: Results to list.

    Returns:
        A row a way, cycle and option: accuracies in per cent; ``best`` by mean test accuracy and,
        of the rivals, ``best_other`` by mean validation accuracy; ``difference`` is reference −
        option in test accuracy, with its 95 % interval, over ``pairs`` seeds. Rows without a cycle
        are means over the pruned cycles, of the seeds that have all of them.
    """
    rows = []
    for way in comparison.ways:
        found = scores(comparison, way)
        rivals = rivals_by_cycle(found, comparison.reference, comparison.apart)
        for cycle, density in enumerate(found.density):
            options = _option_rows(found, comparison, found.val[:, cycle], found.test[:, cycle])
            for row, cycle_max_lr in zip(options, found.cycle_max_lr[:, cycle], strict=True):
                row |= {"way": way, "cycle": cycle, "density": density}
                row |= {"cycle_max_lr": cycle_max_lr}
                row |= {"best_other": int(row["option"] == rivals[cycle])}
            rows += options
        if len(found.density) > 1:
            means = over_pruned(found.val), over_pruned(found.test)
            rows += [{"way": way} | row for row in _option_rows(found, comparison, *means)]
    return rows


def _option_rows(
    found: Scores,
    comparison: Comparison,
    val: NDArray[np.float64],
    test: NDArray[np.float64],
) -> list[Row]:
    """Lists the options' statistics from accuracies of shape (options, seeds)."""
    ours = test[found.options.index(comparison.reference)]
    val_stats, test_stats = over_present(val), over_present(test)
    best = np.max(test_stats.mean[np.isfinite(test_stats.mean)], initial=-np.inf)
    rows: list[Row] = []
    for index, option in enumerate(found.options):
        row = {"option": option, "max_lr": found.max_lr[index]}
        row |= {"val_mean": val_stats.mean[index], "val_std": val_stats.std[index]}
        row |= {"test_mean": test_stats.mean[index], "test_std": test_stats.std[index]}
        row |= {"seeds": test_stats.seeds[index], "best": int(test_stats.mean[index] == best)}
        if option != comparison.reference:
            apart = paired_difference(ours, test[index])
            row |= {"difference": apart.mean, "pairs": apart.pairs}
            row |= {"difference_low": apart.low, "difference_high": apart.high}
        rows.append(row)
    return rows


def grid_rows(comparison: Comparison) -> list[Row]:
    """Lists validation accuracy by option and max_lr: the stage that chooses max_lr.

    Args:
        comparison: Results to list.

    Returns:
        A row an option and max_lr: of the dense network, and the mean over all cycles, of those of
        the seeds that choose which have all of them; ``tuned`` and ``hindsight`` mark what was
        chosen.
    """
    rows = []
    for option in comparison.options:
        of_option = comparison.cells["option"] == option
        for max_lr in np.unique(comparison.cells["max_lr"][of_option]):
            table = seeds_by_cycle(comparison, comparison.cell_rows(option, max_lr), "val_accuracy")
            table = table[:, comparison.chooses]
            every = over_present(table.mean(axis=0))
            dense = over_present(table[0])
            row = {"option": option, "max_lr": max_lr}
            row |= {"dense_val_mean": dense.mean, "dense_val_std": dense.std}
            row |= {"dense_seeds": dense.seeds, "all_val_mean": every.mean}
            row |= {"all_val_std": every.std, "all_seeds": every.seeds}
            for way in comparison.ways:
                row |= {way: int(np.isclose(comparison.chosen_max_lr(way, option), max_lr))}
            rows.append(row)
    return rows


def difference_rows(comparison: Comparison) -> list[Row]:
    """Lists reference − each other in mean test accuracy over the pruned cycles.

    Args:
        comparison: Results to list.

    Returns:
        A row a way and other option: the mean over the seeds that both have with every cycle, its
        95 % confidence interval, and how many seeds; ``best_rival`` marks that of the highest mean
        validation accuracy. Nothing before a pruned network was trained.
    """
    rows: list[Row] = []
    for way in comparison.ways:
        found = scores(comparison, way)
        met = contest(found, comparison.reference, comparison.apart)
        for option in comparison.options:
            if option != comparison.reference and len(found.density) > 1:
                apart = overall_difference(found, comparison.reference, option)
                row = {"way": way, "option": option, "difference": apart.mean, "low": apart.low}
                row |= {"high": apart.high, "pairs": apart.pairs}
                rows.append(row | {"best_rival": int(met is not None and met.rival == option)})
    return rows


def _accuracy(comparison: Comparison) -> Numbers:
    found = [line for way in comparison.ways for line in lines.accuracy_lines(comparison, way)]
    return line_numbers(found, name="option", x="density", y="test_accuracy")


def _differences(comparison: Comparison) -> Numbers:
    found = lines.difference_lines(comparison)
    return line_numbers(found, name="option", x="density", y="difference")


def _max_lr(comparison: Comparison) -> Numbers:
    found = [line for way in comparison.ways for line in lines.max_lr_lines(comparison, way)]
    return line_numbers(found, name="option", x="cycle", y="max_lr")


def _choice(comparison: Comparison) -> Numbers:
    found = lines.choice_lines(comparison)
    return line_numbers(found, name="option", x="max_lr", y="val_accuracy")


FIGURES: dict[str, Callable[[Comparison], Numbers]] = {
    "accuracy_by_density": _accuracy,
    "differences_by_density": _differences,
    "max_lr_by_cycle": _max_lr,
    "accuracy_by_max_lr": _choice,
}


def time_rows(comparison: Comparison) -> list[Row]:
    """Lists what the options cost, over all their max_lr and seeds.

    Args:
        comparison: Results to list.

    Returns:
        A row an option.
    """
    rows = []
    for option in comparison.options:
        of_option = comparison.cells["option"] == option
        cells = zip(
            *(comparison.cells[name][of_option] for name in ("max_lr", "seed")), strict=True
        )
        steps, seconds = (
            float(np.nansum(comparison.cells[name][of_option])) for name in ("steps", "seconds")
        )
        row: Row = {"option": option, "networks": len(set(cells)), "steps": int(steps)}
        row |= {"seconds": seconds, "ms_per_step": 1000 * seconds / steps if steps else np.nan}
        rows.append(row)
    return rows
