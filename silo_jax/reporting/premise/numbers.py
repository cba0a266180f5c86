"""How much narrower the distributions have become, and how that compares with max_lr."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import format_spread, over_present
from silo_jax.reporting.premise.results import Premise


class Change(NamedTuple):
    """How a width has changed from the first to the last measured cycle, seed by seed.

    Attributes:
        first: Mean width in the first cycle.
        last: Mean width in the last one.
        narrowing: First width over last width of each seed that has both, above 0.
    """

    first: float
    last: float
    narrowing: NDArray[np.float64]

    @property
    def narrower(self) -> bool:
        """Whether the geometric mean over the seeds says narrower rather than wider."""
        return bool(np.log(self.narrowing).mean() > 0)

    @property
    def factors(self) -> NDArray[np.float64]:
        """By how many times narrower, or else wider, in each seed."""
        return self.narrowing if self.narrower else 1 / self.narrowing

    @property
    def way(self) -> str:
        """Whether narrower or wider, in a word."""
        return "narrower" if self.narrower else "wider"

    @property
    def times(self) -> str:
        """Mean and spread of these factors, such as "2.15 ± 0.50"."""
        mean, std, _ = over_present(self.factors)
        return format_factor(float(mean), float(std))

    @property
    def agreeing(self) -> int:
        """In how many seeds it went that way."""
        return int(np.sum(self.factors > 1))


class Fit(NamedTuple):
    """How 1/width compares with max_lr, both scaled to start at 1, means over the seeds.

    Attributes:
        ends: Where 1/width ends.
        max_lr_ends: Where max_lr ends.
        apart: Factor between the two, the geometric mean over the cycles after the first.
        most: The largest of these factors.
        most_cycle: In which cycle that is.
    """

    ends: float
    max_lr_ends: float
    apart: float
    most: float
    most_cycle: int


def change(premise: Premise, moment: str, quantity: str, measure: str = "std") -> Change | None:
    """Compares the first measured cycle with the last one.

    Args:
        premise: Results to look at.
        moment: One of `MOMENTS`.
        quantity: One of `QUANTITIES`.
        measure: "std" or "middle_90".

    Returns:
        None if no seed has both cycles, or only one cycle was measured.
    """
    width = positive(premise.width(moment, quantity, measure))
    both = np.isfinite(width[0]) & np.isfinite(width[-1])
    if len(width) < 2 or not both.any():
        return None
    first, last = width[0][both], width[-1][both]
    return Change(float(first.mean()), float(last.mean()), first / last)


def scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divides each seed's values by its first one.

    Args:
        values: Shape (cycles, seeds).

    Returns:
        Shape (cycles, seeds), NaN where the first value is not above 0.
    """
    return values / positive(values[0])


def inverse_width(premise: Premise, moment: str, quantity: str) -> NDArray[np.float64]:
    """1/width of each seed, scaled to start at 1, shape (cycles, seeds)."""
    return scaled(1 / positive(premise.width(moment, quantity)))


def max_lr_of_run(premise: Premise) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """max_lr of every trained cycle from the first measured one on, scaled to start at 1.

    Args:
        premise: Results to look at.

    Returns:
        The cycles; and max_lr of each seed, shape (cycles, seeds).
    """
    cycle, seed, max_lr = (premise.run[name] for name in ("cycle", "seed", "max_lr"))
    later = cycle >= premise.measured[0]
    cycles = np.unique(cycle[later])
    values = np.full((len(cycles), len(premise.seeds)), np.nan)
    column = [premise.seeds.index(one) for one in seed[later].tolist()]
    values[np.searchsorted(cycles, cycle[later]), column] = max_lr[later]
    return cycles, scaled(values)


def fit(premise: Premise, moment: str, quantity: str) -> Fit | None:
    """Compares 1/width with max_lr.

    Args:
        premise: Results to look at.
        moment: One of `MOMENTS`.
        quantity: One of `QUANTITIES`.

    Returns:
        None where one of the two has no value in the first cycle, or none later.
    """
    inverse = over_present(inverse_width(premise, moment, quantity)).mean
    max_lr = over_present(scaled(premise.by_cycle("max_lr"))).mean
    logs = np.log(positive(inverse) / positive(max_lr))[1:]
    there = np.flatnonzero(np.isfinite(logs))
    if not there.size:
        return None
    sizes = np.abs(logs[there])
    most, last = there[sizes.argmax()] + 1, there[-1] + 1
    return Fit(
        ends=float(inverse[last]),
        max_lr_ends=float(max_lr[last]),
        apart=math.exp(sizes.mean()),
        most=math.exp(sizes.max()),
        most_cycle=int(premise.measured[most]),
    )


def update_size(premise: Premise, moment: str) -> NDArray[np.float64]:
    """Mean size of the update lr·|g| over the living weights, shape (cycles, seeds)."""
    return premise.by_cycle(f"lr_{moment}") * premise.width(moment, "gradient", "mean_size")


def format_factor(mean: float, std: float) -> str:
    """Writes a factor with three digits, or two below 1, and its spread with as many decimals.

    Example:
        >>> format_factor(11.04, 5.37), format_factor(0.112, float("nan"))
        ('11.0 ± 5.4', '0.11')
    """
    digits = (2 if mean >= 1 else 1) - math.floor(math.log10(mean))
    return format_spread(mean, std, max(0, digits))


def positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, NaN where they are not above 0."""
    return np.where(values > 0, values, np.nan)
