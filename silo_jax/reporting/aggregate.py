"""Statistics over seeds, and how numbers are written."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class OverSeeds(NamedTuple):
    """One entry a key: a quantity's mean and spread over the seeds that have it.

    Attributes:
        keys: Sorted distinct keys, e.g. cycles, or rows of (cycle, epoch).
        mean: Mean; NaN where any seed's value is NaN.
        std: Sample standard deviation (ddof = 1); NaN where there is one seed.
        seeds: Number of seeds.
    """

    keys: NDArray[Any]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    seeds: NDArray[np.int64]


def over_seeds(keys: ArrayLike, values: ArrayLike) -> OverSeeds:
    """Groups values by key and takes their mean and sample standard deviation.

    Args:
        keys: Shape (n,), or (n, k) for a key of k parts.
        values: Shape (n,).

    Returns:
        The statistics of each distinct key.

    Example:
        >>> over_seeds([0, 0, 1], [1.0, 3.0, 5.0]).mean
        array([2., 5.])
    """
    values = np.asarray(values, float)
    distinct, group = np.unique(np.asarray(keys), axis=0, return_inverse=True)
    group = group.reshape(-1)
    count = np.bincount(group)
    mean = np.bincount(group, values) / count
    squares = np.bincount(group, np.square(values - mean[group]))
    std = np.sqrt(np.divide(squares, count - 1, out=np.full(len(count), np.nan), where=count > 1))
    return OverSeeds(distinct, mean, std, count)


class Present(NamedTuple):
    """Mean and spread over the seeds that are there.

    Attributes:
        mean: Mean; NaN where no seed is there.
        std: Sample standard deviation (ddof = 1); NaN where fewer than two are.
        seeds: Number of seeds that are there.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    seeds: NDArray[np.int64]


def over_present(values: ArrayLike) -> Present:
    """Takes mean and sample standard deviation over the last axis.

    Args:
        values: Shape (..., seeds), NaN where a seed is missing.

    Returns:
        The statistics, each of shape (...,).

    Example:
        >>> over_present([[1.0, 3.0, float("nan")], [5.0, 5.0, 8.0]]).mean
        array([2., 6.])
    """
    values = np.asarray(values, float)
    there = np.isfinite(values)
    seeds = there.sum(axis=-1)
    nothing = np.full(seeds.shape, np.nan)
    total = np.where(there, values, 0.0).sum(axis=-1)
    mean = np.divide(total, seeds, out=nothing.copy(), where=seeds > 0)
    squares = np.where(there, np.square(values - mean[..., None]), 0.0).sum(axis=-1)
    std = np.sqrt(np.divide(squares, seeds - 1, out=nothing, where=seeds > 1))
    return Present(mean, std, seeds)


def format_spread(mean: float, std: float, digits: int = 2) -> str:
    """Writes "mean ± std", or the mean alone where there is no spread, or "NaN".

    Example:
        >>> format_spread(97.5, 0.25), format_spread(97.5, float("nan"))
        ('97.50 ± 0.25', '97.50')
    """
    if not np.isfinite(mean):
        return "NaN"
    spread = f" ± {std:.{digits}f}" if np.isfinite(std) else ""
    return f"{mean:.{digits}f}{spread}"


def format_percent(share: float) -> str:
    """Writes a share as a percentage without its sign, two decimals, or three digits below 1 %.

    Example:
        >>> format_percent(0.512), format_percent(0.00378)
        ('51.20', '0.378')
    """
    percent = 100 * share
    return f"{percent:.2f}" if percent >= 1 or percent == 0 else f"{percent:#.3g}"


def count(number: int, noun: str) -> str:
    """Writes a number of things.

    Example:
        >>> count(1, "seed"), count(3, "seed")
        ('1 seed', '3 seeds')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
