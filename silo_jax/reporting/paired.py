"""Differences between two options that were trained with the same seeds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from silo_jax.reporting.aggregate import count

CONFIDENCE = 0.95


class Paired(NamedTuple):
    """A mean difference over pairs and its confidence interval by Student's t.

    Attributes:
        mean: Mean of the differences; NaN without a pair.
        low: Lower end of the 95 % interval; NaN with fewer than two pairs.
        high: Upper end; NaN with fewer than two pairs.
        pairs: Number of pairs.
    """

    mean: float
    low: float
    high: float
    pairs: int


def paired_difference(ours: ArrayLike, others: ArrayLike) -> Paired:
    """Compares two options over the seeds that both have.

    With d the differences and n their number, the interval is

        mean(d) ± t(0.975; n − 1) · std(d) / √n.

    Args:
        ours: Shape (seeds,), NaN where a seed is missing.
        others: Shape (seeds,), as ours.

    Returns:
        The mean of ours − others and its 95 % interval.

    Example:
        >>> paired_difference([3.0, 5.0, 4.0], [2.0, 2.0, float("nan")]).mean
        2.0
    """
    differences = np.subtract(ours, others)
    differences = differences[np.isfinite(differences)]
    pairs = len(differences)
    mean = float(differences.mean()) if pairs else np.nan
    if pairs < 2:
        return Paired(mean, np.nan, np.nan, pairs)
    quantile = stdtrit(pairs - 1, (1 + CONFIDENCE) / 2)
    half = float(quantile * differences.std(ddof=1) / np.sqrt(pairs))
    return Paired(mean, mean - half, mean + half, pairs)


def format_difference(paired: Paired) -> str:
    """Writes "mean [low, high]", or the mean alone where there is no interval, or "–".

    Example:
        >>> format_difference(Paired(0.5, -0.25, 1.25, 3))
        '+0.50 [−0.25, +1.25]'
    """
    if paired.pairs == 0:
        return "–"
    if not np.isfinite(paired.low):
        return signed(paired.mean)
    return f"{signed(paired.mean)} [{signed(paired.low)}, {signed(paired.high)}]"


def describe_interval(paired: Paired) -> str:
    """Writes the interval and the number of seeds in words.

    Example:
        >>> describe_interval(Paired(0.5, -0.25, 1.25, 3))
        '95 % confidence interval −0.25 to +1.25, 3 seeds paired'
        >>> describe_interval(Paired(0.5, np.nan, np.nan, 1))
        '1 seed, so no confidence interval'
    """
    seeds = count(paired.pairs, "seed")
    if not np.isfinite(paired.low):
        return f"{seeds}, so no confidence interval"
    return f"95 % confidence interval {signed(paired.low)} to {signed(paired.high)}, {seeds} paired"


def signed(value: float) -> str:
    """Writes a number with its sign and two decimals.

    Example:
        >>> signed(-1.5), signed(0.004)
        ('−1.50', '+0.00')
    """
    return f"{value:+.2f}".replace("-", "−")
