"""The numbers that a comparison's figures draw."""

from collections.abc import Sequence

import numpy as np

from silo_jax.reporting.aggregate import Present, over_present
from silo_jax.reporting.comparison.numbers import (
    differences,
    scores,
    seeds_by_cycle,
    way_that_counts,
)
from silo_jax.reporting.comparison.results import Comparison
from silo_jax.reporting.lines import Line, mean_line

EVERY = "all"  # in place of a cycle: the mean over all of them


def accuracy_lines(comparison: Comparison, way: str) -> list[Line]:
    """Test accuracy by density of each option that has any, with bands over the seeds."""
    found = scores(comparison, way)
    stats = over_present(found.test)
    lines = []
    for index, option in enumerate(found.options):
        own = Present(*(part[index] for part in stats))
        if own.seeds.any():
            told = {"way": way, "max_lr": found.max_lr[index], "cycle": np.arange(len(own.mean))}
            lines.append(mean_line(option, found.density, own, **told))
    return lines


def difference_lines(comparison: Comparison) -> list[Line]:
    """Reference − other in test accuracy by density, with its 95 % interval."""
    found = scores(comparison, way_that_counts(comparison))
    lines = []
    for option in found.options:
        if option != comparison.reference:
            apart = differences(found, comparison.reference, option)
            mean, low, high, pairs = np.transpose(apart)
            told = {"way": found.way, "cycle": np.arange(len(mean)), "pairs": pairs.astype(int)}
            lines.append(Line(option, found.density, mean, low, high, told))
    return lines


def max_lr_lines(comparison: Comparison, way: str) -> list[Line]:
    """max_lr by cycle of each option for which one was chosen."""
    found = scores(comparison, way)
    cycles = np.arange(len(found.density))
    return [
        Line(option, cycles, found.cycle_max_lr[index], told={"way": way})
        for index, option in enumerate(found.options)
        if np.isfinite(found.cycle_max_lr[index]).any()
    ]


def choice_lines(comparison: Comparison) -> list[Line]:
    """Validation accuracy by the dense network's max_lr: in each cycle, and over all of them.

    Of the seeds that chose max_lr, and only where each of them has it. The column ``chosen`` marks
    what was chosen on the dense network, in cycle 0, and over all cycles.
    """
    lines, chooses = [], comparison.chooses
    for option in comparison.options:
        of_option = comparison.cells["option"] == option
        max_lrs = np.unique(comparison.cells["max_lr"][of_option])
        tables = np.array(
            [
                seeds_by_cycle(comparison, comparison.cell_rows(option, max_lr), "val_accuracy")
                for max_lr in max_lrs
            ]
        )
        if not tables.size:
            continue
        tables = tables[..., chooses]
        lines.append(_choice(comparison, option, max_lrs, EVERY, tables.mean(axis=(1, 2))))
        for cycle in range(tables.shape[1]):
            means = tables[:, cycle].mean(axis=-1)
            lines.append(_choice(comparison, option, max_lrs, cycle, means))
    return [line for line in lines if len(line.x)]


def of_cycle(lines: Sequence[Line], cycle: object) -> list[Line]:
    """Picks the lines of a cycle, or those over all."""
    return [line for line in lines if line.told["cycle"] == cycle]


def _choice(
    comparison: Comparison,
    option: str,
    max_lrs: np.ndarray,
    cycle: int | str,
    accuracy: np.ndarray,
) -> Line:
    ways = {0: "tuned", EVERY: "hindsight"}
    best = np.nan
    if (way := ways.get(cycle)) in comparison.ways:
        best = comparison.chosen_max_lr(way, option)
    there = np.isfinite(accuracy)
    chosen = np.isclose(max_lrs, best).astype(int)[there]
    return Line(option, max_lrs[there], accuracy[there], told={"cycle": cycle, "chosen": chosen})
