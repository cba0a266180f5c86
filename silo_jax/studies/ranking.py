"""Which max_lr is the best, by validation accuracy."""

import math
from collections.abc import Iterable
from typing import NamedTuple

# Accuracies are written with four decimals, so that equal ones may differ by this.
_ROUNDING = 1.001e-4


class Scored(NamedTuple):
    """A max_lr with its mean validation accuracy in per cent and loss; NaN where it diverged."""

    max_lr: float
    val_accuracy: float
    val_loss: float


def best_of(scored: Iterable[Scored]) -> tuple[Scored | None, list[Scored]]:
    """The one of the highest accuracy, and those of the same accuracy beside it.

    Of equally good ones it is that of the lowest loss, then the smallest; None if all diverged.

    Example:
      >>> best, tied = best_of([Scored(0.1, 90.0, 0.3), Scored(0.2, 90.0, 0.2)])
      >>> best.max_lr, [one.max_lr for one in tied]
      (0.2, [0.1])
    """
    sound = [one for one in scored if math.isfinite(one.val_accuracy)]
    if not sound:
        return None, []
    top = max(one.val_accuracy for one in sound)
    equal = [one for one in sound if top - one.val_accuracy < _ROUNDING]
    best = min(equal, key=lambda one: (one.val_loss, one.max_lr))
    return best, [one for one in equal if one is not best]
