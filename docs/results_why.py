"""Where SILO's advantage comes from and goes: further numbers of results.md."""

from collections.abc import Iterable
from typing import NamedTuple

from docs.results_numbers import pruned_accuracy
from silo_jax.reporting.comparison import Comparison
from silo_jax.reporting.comparison.numbers import (
    CLAIMED,
    over_pruned,
    overall_difference,
    scores,
    seeds_by_cycle,
)
from silo_jax.reporting.paired import Paired, paired_difference


class Raised(NamedTuple):
    """What raising max_lr changes in test accuracy, for one max_lr of the dense network.

    Attributes:
      max_lr: that value.
      tuned: the one that is best for warmup on the dense network.
      overall: in the mean over the pruned cycles.
      last: in the last cycle.
    """

    max_lr: float
    tuned: float
    overall: Paired
    last: Paired


def raised(comparison: Comparison) -> list[Raised]:
    """SILO minus warmup, the same shape with max_lr held where SILO starts, paired over seeds."""
    found, tuned = [], comparison.chosen_max_lr("tuned", "warmup")
    for max_lr in comparison.max_lrs:
        silo, held = (
            seeds_by_cycle(comparison, comparison.cell_rows(option, max_lr), "test_accuracy")
            for option in (comparison.reference, "warmup")
        )
        overall = paired_difference(over_pruned(silo), over_pruned(held))
        found.append(Raised(max_lr, tuned, overall, paired_difference(silo[-1], held[-1])))
    return found


def on_raising(comparisons: Iterable[Comparison]) -> str:
    """Where raising max_lr gains as much as is claimed."""
    rows = [one for comparison in comparisons for one in raised(comparison)]
    reached = [one for one in rows if one.overall.mean >= CLAIMED[0]]
    below = sum(one.max_lr < one.tuned for one in reached)
    return (
        f"{CLAIMED[0]:g} points or more over the pruned cycles in {len(reached)} of {len(rows)} "
        f"rows; in {below} of those max_lr is smaller than what warmup is tuned to on the dense "
        "network (bold)."
    )


def options_tried(comparison: Comparison) -> list[tuple[str, str, str, Paired]]:
    """Of each option its name, max_lr, accuracy, and how far the reference is ahead of it."""
    found = scores(comparison, comparison.ways[-1])
    return [
        (
            option,
            f"{found.max_lr[place]:.3g}",
            pruned_accuracy(found, option),
            overall_difference(found, comparison.reference, option),
        )
        for place, option in enumerate(found.options)
    ]
