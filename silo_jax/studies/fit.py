"""The S-curve that comes closest to the Oracle's choices."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls

from silo_jax.schedules import s_curve

_STEEPNESS = (0.5, 20.0)
_MOST_DELAY = 3


class Fit(NamedTuple):
    """An S-curve, and how far it is from what it was fitted to.

    Attributes:
      lower: max_lr of the dense network.
      upper: max_lr that is approached at full sparsity.
      steepness: β.
      delay: in cycles.
      residuals: curve / max_lr − 1, by cycle.
      rms: root of their mean square.
      constant_rms: the same for the best constant max_lr, to tell what the S adds.
    """

    lower: float
    upper: float
    steepness: float
    delay: int
    residuals: list[float]
    rms: float
    constant_rms: float


def fit_s_curve(max_lrs: Sequence[float], sparsities: Sequence[float]) -> Fit:
    """Fits lower, upper, steepness and delay of `silo_peaks_from_sparsity` to given peaks.

    Relative residuals are made small in the least-squares sense. For a given steepness and delay
    the curve is linear in the bounds, which are found exactly; the steepness, from 0.5 to 20, is
    searched, and the delay, from 0 to 3 cycles, tried.

    Args:
      max_lrs: of each cycle, above 0.
      sparsities: share of the weights that is pruned while each cycle trains, as many.

    Raises:
      ValueError: fewer than 5 cycles, as there are 4 numbers to find.

    Example:
      >>> from silo_jax import plans, silo_peaks
      >>> found = fit_s_curve(silo_peaks(20, lower=0.03, upper=0.07), plans.geometric(20, 0.2))
      >>> round(found.lower, 4), round(found.upper, 4), round(found.steepness, 2), found.delay
      (0.03, 0.07, 5.0, 1)
    """
    target, sparsity = np.asarray(max_lrs, float), np.asarray(sparsities, float)
    if target.size < 5:
        raise ValueError(f"cycles: {target.size} with a choice; allowed: 5 or more for a fit")
    fits = [_fit_steepness(target, sparsity, delay) for delay in range(_MOST_DELAY + 1)]
    best = min(fits, key=lambda fit: fit.rms)
    _, error = nnls((1 / target)[:, None], np.ones(target.size))
    return best._replace(constant_rms=float(error / np.sqrt(target.size)))


def _fit_steepness(target: NDArray[np.float64], sparsity: NDArray[np.float64], delay: int) -> Fit:
    dense = np.zeros(min(delay, target.size))
    delayed = np.concatenate([dense, sparsity[: target.size - dense.size]])

    def fitted(log_steepness: float) -> Fit:
        share = np.asarray(s_curve(delayed, np.exp(log_steepness)), float)
        basis = np.column_stack([1 - share, share])
        (lower, upper), error = nnls(basis / target[:, None], np.ones(target.size))
        residuals = (basis @ [lower, upper] / target - 1).tolist()
        rms = float(error / np.sqrt(target.size))
        steepness = float(np.exp(log_steepness))
        return Fit(float(lower), float(upper), steepness, delay, residuals, rms, np.nan)

    grid = np.log(np.geomspace(*_STEEPNESS, 25))
    start = min(grid, key=lambda x: fitted(x).rms)
    step = grid[1] - grid[0]
    bounds = (max(grid[0], start - step), min(grid[-1], start + step))
    found = minimize_scalar(lambda x: fitted(x).rms, bounds=bounds, method="bounded")
    return min(fitted(start), fitted(found.x), key=lambda fit: fit.rms)
