"""The Oracle interval: every max_lr that is as good as the best one, within a tolerance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A range of max_lr.

    Attributes:
      low: its lower end.
      high: its upper end.
      low_open: whether the smallest value tried is still within the tolerance.
      high_open: whether the largest is.
      gaps: whether a value beyond a worse one is within the tolerance, too; it is left out.
    """

    low: float
    high: float
    low_open: bool
    high_open: bool
    gaps: bool


def oracle_interval(
    max_lrs: Sequence[float], accuracies: Sequence[float], best: float, tolerance: float
) -> Interval | None:
    """The range around the best max_lr in which the accuracy is within a tolerance of the best.

    Between two values tried, the accuracy is taken to be linear in log max_lr. Where the neighbour
    has diverged, the interval ends at the last value that has not.

    Args:
      max_lrs: ascending values tried, above 0.
      accuracies: of each, in per cent; NaN where it diverged.
      best: that of them from which the interval is found.
      tolerance: percentage points, at least 0; NaN gives no interval.

    Returns:
      The interval, or None where there is none: the tolerance or the best accuracy is NaN.

    Example:
      >>> found = oracle_interval([0.01, 0.1, 1.0], [90.0, 92.0, 91.0], best=0.1, tolerance=0.5)
      >>> round(found.low, 4), round(found.high, 4), found.high_open
      (0.0562, 0.3162, False)

    References:
      The Oracle of arXiv:2212.06144. The width of its interval is not known; 0.5 percentage points
      are this project's choice.
    """
    values, accuracy = np.asarray(max_lrs, float), np.asarray(accuracies, float)
    at = list(max_lrs).index(best)
    threshold = accuracy[at] - tolerance
    if not np.isfinite(threshold):
        return None
    within = accuracy >= threshold
    low, low_open = _end(values[at::-1], accuracy[at::-1], threshold)
    high, high_open = _end(values[at:], accuracy[at:], threshold)
    inside = (values >= low) & (values <= high)
    return Interval(low, high, low_open, high_open, bool((within & ~inside).any()))


def _end(values: np.ndarray, accuracy: np.ndarray, threshold: float) -> tuple[float, bool]:
    """Where the accuracy first falls below the threshold, and whether it never does."""
    below = np.flatnonzero(~(accuracy >= threshold))
    if not below.size:
        return float(values[-1]), True
    outer = below[0]
    if not np.isfinite(accuracy[outer]):
        return float(values[outer - 1]), False
    share = (accuracy[outer - 1] - threshold) / (accuracy[outer - 1] - accuracy[outer])
    inner, beyond = values[outer - 1], values[outer]
    return float(inner * (beyond / inner) ** share), False
