"""What follows from a search: what lies inside the Oracle's intervals, accuracies, and cost."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import over_seeds
from silo_jax.reporting.oracle.results import Curve, OracleSearch
from silo_jax.reporting.paired import Paired, paired_difference
from silo_jax.reporting.reading import Columns

Floats = NDArray[np.float64]


class Share(NamedTuple):
    """In how many cycles a max_lr lies inside the Oracle interval, of those that have one."""

    inside: int
    cycles: int


class Constant(NamedTuple):
    """The constant max_lr that lies inside most intervals.

    Attributes:
        low: The smallest such value.
        high: The largest one with which the same intervals are met.
        share: In how many it lies.
    """

    low: float
    high: float
    share: Share

    @property
    def middle(self) -> float:
        """The value half-way between both, on a log scale."""
        return math.sqrt(self.low * self.high)


def is_inside(max_lr: Floats, low: Floats, high: Floats) -> NDArray[np.bool_]:
    """Marks the values inside their interval, the ends included; False where there is none."""
    return (max_lr >= low * (1 - 1e-9)) & (max_lr <= high * (1 + 1e-9))


def share_inside(max_lr: Floats, low: Floats, high: Floats) -> Share:
    """Counts the values inside their interval.

    Args:
        max_lr: Shape (cycles,), NaN where it is not known.
        low: Lower ends, NaN where there is no interval.
        high: Upper ends.

    Returns:
        The count, of the cycles in which both are known.
    """
    counted = np.isfinite(max_lr) & np.isfinite(low)
    return Share(int(is_inside(max_lr, low, high).sum()), int(counted.sum()))


def best_constant(low: Floats, high: Floats) -> Constant | None:
    """Finds the constant that lies inside most intervals, exactly: one of the lower ends does.

    Args:
        low: Shape (cycles,), lower ends, NaN where there is no interval.
        high: Upper ends.

    Returns:
        The constant, of several equally good ones that of the widest range; None without an
        interval.

    Example:
        >>> best_constant(np.array([1.0, 2.0, 6.0]), np.array([3.0, 5.0, 7.0]))
        Constant(low=2.0, high=3.0, share=Share(inside=2, cycles=3))
    """
    there = np.isfinite(low)
    low, high = low[there], high[there]
    ranges = []
    for value in low:
        met = is_inside(np.full(low.shape, value), low, high)
        ranges.append((int(met.sum()), float(high[met].min() / value), float(value)))
    if not ranges:
        return None
    met_most, width, value = max(ranges)
    return Constant(value, value * width, Share(met_most, len(low)))


def silo_and_intervals(search: OracleSearch, part: str = "") -> tuple[Floats, Floats, Floats]:
    """Takes SILO's max_lr, and low and high of the intervals, in the cycles that have both.

    Args:
        search: Results to take them from.
        part: "" for the intervals of the tolerance, "se_" for those of one standard error.

    Returns:
        Three arrays of shape (choices,), NaN where SILO or the interval is missing.
    """
    silo = by_cycle(search, search.silo, "max_lr")
    low, high = (search.choices[f"{part}{end}"] for end in ("low", "high"))
    both = np.isfinite(silo) & np.isfinite(low)
    silo, low, high = (np.where(both, values, np.nan) for values in (silo, low, high))
    return silo, low, high


def median_width(low: Floats, high: Floats) -> float:
    """Finds the median of high / low, NaN without an interval."""
    widths = (high / low)[np.isfinite(low)]
    return float(np.median(widths)) if widths.size else np.nan


def by_cycle(search: OracleSearch, table: Columns, name: str) -> Floats:
    """Takes a column's mean over the seeds in each row of choices, NaN where there is none."""
    stats = over_seeds(table["cycle"], table[name])
    means = dict(zip(stats.keys.tolist(), stats.mean.tolist(), strict=True))
    return np.array([means.get(cycle, np.nan) for cycle in search.choices["cycle"].tolist()])


def oracle_accuracy(search: OracleSearch, name: str) -> Floats:
    """Finds the accuracy with the chosen max_lr, shape (choices, seeds), NaN where missing."""
    chosen = dict(
        zip(search.choices["cycle"].tolist(), search.choices["max_lr"].tolist(), strict=True)
    )
    max_lr = np.array([chosen.get(cycle, np.nan) for cycle in search.grid["cycle"].tolist()])
    return _by_seed(search, search.grid, name, search.grid["max_lr"] == max_lr)


def silo_accuracy(search: OracleSearch, name: str) -> Floats:
    """Finds the accuracy of SILO, shape (choices, seeds), NaN where missing."""
    return _by_seed(search, search.silo, name, np.ones(len(search.silo["cycle"]), bool))


def _by_seed(search: OracleSearch, table: Columns, name: str, rows: NDArray[np.bool_]) -> Floats:
    place = {cycle: row for row, cycle in enumerate(search.choices["cycle"].tolist())}
    accuracy = np.full((len(place), len(search.seeds)), np.nan)
    for row in np.flatnonzero(rows):
        cycle, seed = int(table["cycle"][row]), int(table["seed"][row])
        if cycle in place:
            accuracy[place[cycle], search.seeds.index(seed)] = table[name][row]
    return accuracy


def accuracy_differences(search: OracleSearch) -> tuple[list[Paired], Paired]:
    """Takes SILO − Oracle in test accuracy, paired over the seeds.

    Returns:
        The difference in each row of choices; and that of the means over the pruned cycles in
        which there is a choice, over the seeds that have all of them.
    """
    ours, theirs = silo_accuracy(search, "test_accuracy"), oracle_accuracy(search, "test_accuracy")
    each = [paired_difference(*pair) for pair in zip(ours, theirs, strict=True)]
    pruned = search.has_choice & (search.choices["cycle"] > 0)
    if not pruned.any():
        return each, Paired(np.nan, np.nan, np.nan, 0)
    means = ours[pruned].mean(axis=0), theirs[pruned].mean(axis=0)
    return each, paired_difference(*means)


class Cost(NamedTuple):
    """What was spent: networks trained for a cycle, their training steps, and seconds."""

    networks: int
    steps: float
    seconds: float


def cost(table: Columns) -> Cost:
    """Adds up what the rows of grid.csv or silo.csv have cost, those that diverged included."""
    steps, seconds = (float(np.nansum(table[name])) for name in ("steps", "seconds"))
    return Cost(len(table["cycle"]), steps, seconds)


def curve_by_cycle(curve: Curve, search: OracleSearch) -> Floats:
    """Draws an S-curve at the cycles of choices.

    With x the sparsity `delay` cycles ago, and 0 before that,

        max_lr = lower + (upper − lower) · x^β / (x^β + (1 − x)^β).
    """
    sparsity = 1 - search.choices["density"]
    delayed = np.concatenate([np.zeros(curve.delay), sparsity])[: len(sparsity)]
    powers = delayed**curve.steepness, (1 - delayed) ** curve.steepness
    return curve.lower + (curve.upper - curve.lower) * powers[0] / (powers[0] + powers[1])


def fit_residuals(curve: Curve, search: OracleSearch) -> Floats:
    """Takes curve / max_lr − 1 at the cycles of choices, NaN where there is no choice."""
    return curve_by_cycle(curve, search) / search.choices["max_lr"] - 1
