"""What raising max_lr does by itself: SILO beside the same shape with max_lr held."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from silo_jax.reporting.comparison import Comparison
from silo_jax.reporting.comparison.numbers import CLAIMED, over_pruned, seeds_by_cycle
from silo_jax.reporting.paired import Paired, format_difference, paired_difference


class Raised(NamedTuple):
    """What raising max_lr changes in test accuracy, for one max_lr of the dense network.

    Attributes:
      max_lr: that value.
      tuned: the one that is best for warmup on the dense network.
      overall: in the mean over the pruned cycles; of the seeds with which neither diverged.
      last: in the last cycle.
      seeds: with how many both were pruned.
      lost: with how many of them SILO diverged, and warmup did not.
      won: with how many warmup diverged, and SILO did not.
    """

    max_lr: float
    tuned: float
    overall: Paired
    last: Paired
    seeds: int
    lost: int
    won: int


def raised(comparison: Comparison) -> list[Raised]:
    """SILO minus warmup, the same shape with max_lr held where SILO starts, paired over seeds.

    Of every max_lr with which both were pruned.
    """
    found, tuned = [], comparison.chosen_max_lr("tuned", "warmup")
    for max_lr in comparison.max_lrs:
        ours, theirs = (
            comparison.cell_rows(option, max_lr) for option in (comparison.reference, "warmup")
        )
        silo, held = (seeds_by_cycle(comparison, rows, "test_accuracy") for rows in (ours, theirs))
        seeds, lost, won = _seeds(comparison, ours, theirs)
        if seeds:
            overall = paired_difference(over_pruned(silo), over_pruned(held))
            last = paired_difference(silo[-1], held[-1])
            found.append(Raised(max_lr, tuned, overall, last, seeds, lost, won))
    return found


def _seeds(comparison: Comparison, ours: np.ndarray, theirs: np.ndarray) -> tuple[int, int, int]:
    """With how many seeds both were pruned, only the first diverged, and only the second did."""
    cells = comparison.cells
    pruned = set.intersection(
        *(set(cells["seed"][rows & (cells["cycle"] > 0)]) for rows in (ours, theirs))
    )
    diverged, others = (
        pruned & set(cells["seed"][rows & (cells["diverged"] == 1)]) for rows in (ours, theirs)
    )
    return len(pruned), len(diverged - others), len(others - diverged)


def verdict_on_raising(comparisons: Iterable[Comparison]) -> str:
    """Where raising max_lr gains or loses as much as is claimed."""
    rows = [one for each in comparisons for one in raised(each) if one.seeds > 1]
    below = [one for one in rows if one.max_lr < one.tuned]
    others = [one for one in rows if one.max_lr >= one.tuned]
    (gains, losses), (other_gains, other_losses) = map(_large, (below, others))
    return (
        f"Over the pruned cycles SILO gains {CLAIMED[0]:g} points or more (interval above 0), or "
        f"goes on where warmup diverges, in {gains} of the {len(below)} rows below the max_lr that "
        f"warmup is tuned to on the dense network, and in {other_gains} of the {len(others)} "
        f"others; it loses as much (interval below 0), or diverges where warmup does not, in "
        f"{losses} and {other_losses}."
    )


def _large(rows: Sequence[Raised]) -> tuple[int, int]:
    """The number of gains and of losses as large as is claimed."""
    gains = (_is_shown(one.overall) and one.overall.mean >= CLAIMED[0] for one in rows)
    losses = (_is_shown(one.overall) and one.overall.mean <= -CLAIMED[0] for one in rows)
    return (
        sum(gain or one.won > 0 for one, gain in zip(rows, gains, strict=True)),
        sum(loss or one.lost > 0 for one, loss in zip(rows, losses, strict=True)),
    )


def _is_shown(paired: Paired) -> bool:
    """Whether 0 is outside the interval; one of no width, of seeds that agree by chance, is not."""
    has_width = not np.isclose(paired.low, paired.high)
    return bool(has_width and (paired.low > 0 or paired.high < 0))


def all_pairs(paired: Paired, comparison: Comparison) -> str:
    """A difference and, where it is not of all seeds, of how many; or that all diverged."""
    if not paired.pairs:
        return "diverged"
    few = paired.pairs < len(comparison.seeds)
    return format_difference(paired) + (f" ({paired.pairs})" if few else "")
