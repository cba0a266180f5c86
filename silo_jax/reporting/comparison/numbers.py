"""What follows from a comparison's cells: scores, differences, and whether the claim holds."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import over_present
from silo_jax.reporting.comparison.results import Comparison
from silo_jax.reporting.paired import Paired, paired_difference

CLAIMED = (2.0, 4.0)


class Scores(NamedTuple):
    """What the options reached with the max_lr that one way chose for each.

    Attributes:
        way: "tuned" or "hindsight".
        options: Names, in the order of the first axis.
        density: Shape (cycles,).
        max_lr: Shape (options,), the chosen value of the dense network.
        cycle_max_lr: Shape (options, cycles).
        val: Validation accuracy in per cent, shape (options, cycles, seeds), NaN where missing.
        test: Test accuracy in per cent, as val.
    """

    way: str
    options: tuple[str, ...]
    density: NDArray[np.float64]
    max_lr: NDArray[np.float64]
    cycle_max_lr: NDArray[np.float64]
    val: NDArray[np.float64]
    test: NDArray[np.float64]


def way_that_counts(comparison: Comparison) -> str:
    """The way in which every rival is at its best."""
    return comparison.ways[-1]


def scores(comparison: Comparison, way: str) -> Scores:
    """Collects what the options reached.

    Args:
        comparison: Results of the comparison.
        way: One of its ways.

    Returns:
        Arrays over options, cycles and seeds.
    """
    density = comparison.density
    max_lr = [comparison.chosen_max_lr(way, option) for option in comparison.options]
    cubes = {
        name: np.stack(
            [
                seeds_by_cycle(comparison, comparison.cell_rows(option, value), name)
                for option, value in zip(comparison.options, max_lr, strict=True)
            ]
        )
        for name in ("cycle_max_lr", "val_accuracy", "test_accuracy")
    }
    return Scores(
        way,
        comparison.options,
        density,
        np.array(max_lr),
        over_present(cubes["cycle_max_lr"]).mean,
        cubes["val_accuracy"],
        cubes["test_accuracy"],
    )


def seeds_by_cycle(
    comparison: Comparison, rows: NDArray[np.bool_], name: str
) -> NDArray[np.float64]:
    """Arranges a column of finished rows, shape (cycles, seeds), NaN where there is none."""
    cells = comparison.cells
    finished = rows & (cells["diverged"] == 0)
    table = np.full((comparison.cycles_done, len(comparison.seeds)), np.nan)
    seed = [comparison.seeds.index(one) for one in cells["seed"][finished]]
    table[cells["cycle"][finished], seed] = cells[name][finished]
    return table


def best_other(
    options: tuple[str, ...],
    reference: str,
    accuracy: NDArray[np.float64],
    apart: Collection[str] = (),
) -> str | None:
    """Picks the option with the highest accuracy beside the reference; None if no other has one.

    Args:
        options: Names.
        reference: The option left out.
        accuracy: Shape (options,), NaN for an option that has none.
        apart: Options that are no rivals, left out as well.
    """
    rivals = {
        option: value
        for option, value in zip(options, accuracy, strict=True)
        if option not in (reference, *apart) and np.isfinite(value)
    }
    return max(rivals, key=lambda option: rivals[option], default=None)


def rivals_by_cycle(found: Scores, reference: str, apart: Collection[str] = ()) -> list[str | None]:
    """Picks the rival with the highest mean validation accuracy in each cycle; none is apart."""
    means = over_present(found.val).mean
    return [best_other(found.options, reference, column, apart) for column in means.T]


def differences(found: Scores, reference: str, other: str | None) -> list[Paired]:
    """Takes reference − other in test accuracy in each cycle, paired over the seeds."""
    ours = found.test[found.options.index(reference)]
    if other is None:
        return [Paired(np.nan, np.nan, np.nan, 0)] * len(ours)
    theirs = found.test[found.options.index(other)]
    return [paired_difference(*pair) for pair in zip(ours, theirs, strict=True)]


def over_pruned(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averages over the pruned cycles, for the seeds that have all of them.

    Args:
        accuracy: Shape (..., cycles, seeds), of two cycles or more.

    Returns:
        Shape (..., seeds), NaN for a seed that lacks a cycle.
    """
    return accuracy[..., 1:, :].mean(axis=-2)


def overall_difference(found: Scores, reference: str, other: str) -> Paired:
    """Takes reference − other in mean test accuracy over the pruned cycles, paired over seeds."""
    test = over_pruned(found.test)
    return paired_difference(*(test[found.options.index(name)] for name in (reference, other)))


class Contest(NamedTuple):
    """The reference against the one rival that is best over all pruned cycles.

    Attributes:
        rival: The option of the highest mean validation accuracy over the pruned cycles.
        overall: Mean difference in test accuracy over the pruned cycles, paired over seeds.
        by_cycle: The difference in each pruned cycle.
    """

    rival: str
    overall: Paired
    by_cycle: list[Paired]

    @property
    def holds(self) -> bool | None:
        """Whether the difference reaches what is claimed; None if that cannot be told."""
        if not np.isfinite(self.overall.low):
            return None
        return self.overall.mean >= CLAIMED[0] - 1e-9 and self.overall.low > 0


def contest(found: Scores, reference: str, apart: Collection[str] = ()) -> Contest | None:
    """Sets the reference against its best rival.

    Args:
        found: Of the way that counts.
        reference: The option that is compared.
        apart: Options that are no rivals.

    Returns:
        The contest; None without pruned cycles or without a rival that has all of them.
    """
    if len(found.density) < 2:
        return None
    accuracy = over_present(over_pruned(found.val)).mean
    rival = best_other(found.options, reference, accuracy, apart)
    if rival is None:
        return None
    by_cycle = differences(found, reference, rival)[1:]
    return Contest(rival, overall_difference(found, reference, rival), by_cycle)
