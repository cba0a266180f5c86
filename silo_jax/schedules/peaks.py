"""The S-curve and the peaks (max_lr of each pruning cycle) that SILO reads off it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from silo_jax.checks import require, require_int
from silo_jax.schedules import plans
from silo_jax.schedules.arguments import require_rates, require_scalar
from silo_jax.schedules.interpolation import interpolate


def s_curve(sparsity: ArrayLike | Sequence[float], steepness: ArrayLike = 5.0) -> jax.Array:
    r"""The S-shaped map of sparsity to a share of the learning-rate range.

    .. math:: s(x; \beta) = \frac{x^\beta}{x^\beta + (1 - x)^\beta}

    It rises from ``s(0) = 0`` through ``s(1/2) = 1/2`` to ``s(1) = 1``. The value is finite for
    every steepness, also where both powers underflow, and so is the gradient. (For a steepness
    below 1 the slope at 0 and 1 is infinite; the gradient there is given as 0.)

    Args:
      sparsity: share of the weights that is pruned, in [0, 1]; any shape. Traced or not.
      steepness: β > 0; 1 is the straight line, larger is steeper in the middle.

    Returns:
      Array of the broadcast shape, in [0, 1].

    Raises:
      ValueError: a sparsity outside [0, 1], or a steepness that is not positive and finite (when
        concrete); shapes that do not broadcast.

    Example:
      >>> from silo_jax import s_curve
      >>> [round(float(s), 4) for s in s_curve([0.0, 0.2, 0.5, 0.8, 1.0])]
      [0.0, 0.001, 0.5, 0.999, 1.0]

    References:
      Liu et al., "Optimizing Learning Rate Schedules for Iterative Pruning of Deep Neural
      Networks", TMLR 2023, arXiv:2212.06144.
    """
    require("sparsity", sparsity, lambda x: (x >= 0) & (x <= 1), "between 0 and 1")
    require("steepness", steepness, lambda b: (b > 0) & (b < jnp.inf), "finite, greater than 0")
    x = jnp.asarray(sparsity, float)
    exponent = jnp.asarray(steepness, float)
    if not _can_broadcast(x.shape, exponent.shape):
        allowed = f"a shape that broadcasts with sparsity's {x.shape}"
        raise ValueError(f"steepness: shape {exponent.shape}; allowed: {allowed}")
    # s depends on x : (1 − x) only. With the larger scaled to 1 the powers never both underflow.
    is_low = x < 0.5
    ratio = jnp.where(is_low, x, 1 - x) / jnp.where(is_low, 1 - x, x)
    power = _power(ratio, steepness)
    return jnp.where(is_low, power, 1.0) / (1 + power)


def silo_peaks(
    num_cycles: int,
    *,
    lower: ArrayLike,
    upper: ArrayLike,
    prune_fraction: ArrayLike = 0.2,
    steepness: ArrayLike = 5.0,
    delay: int = 1,
) -> jax.Array:
    r"""SILO's max_lr of each pruning cycle, when every cycle prunes the same share of what is left.

    .. math::

        x_m = 1 - (1 - p)^{\max(m - q, 0)}, \qquad
        \text{max\_lr}_m = \text{lower} + (\text{upper} - \text{lower}) \, s(x_m; \beta)

    with the prune fraction p, the delay q and the steepness β. Cycle 0 trains the dense network.

    Args:
      num_cycles: number of cycles, the dense one included; at least 1.
      lower: max_lr of the dense network (the paper's ε), at least 0.
      upper: max_lr that is approached as the sparsity goes to 1 (ε + δ), at least 0. Less than
        ``lower`` makes the S-curve fall.
      prune_fraction: share of the *remaining* weights that goes at a cycle's end, in [0, 1).
      steepness: β of `s_curve`.
      delay: cycles by which the peaks lag behind the sparsity, at least 0.

    Returns:
      Float array of shape ``(num_cycles,)``.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import silo_peaks
      >>> [round(float(lr), 4) for lr in silo_peaks(8, lower=0.03, upper=0.07)]
      [0.03, 0.03, 0.03, 0.0321, 0.0476, 0.0645, 0.0689, 0.0698]

    References:
      arXiv:2212.06144 and the authors' code for ResNet-20 and VGG-19.
    """
    sparsities = plans.geometric(num_cycles, prune_fraction)
    return silo_peaks_from_sparsity(
        sparsities, lower=lower, upper=upper, steepness=steepness, delay=delay
    )


def silo_peaks_from_sparsity(
    sparsities: ArrayLike | Sequence[float],
    *,
    lower: ArrayLike,
    upper: ArrayLike,
    steepness: ArrayLike = 5.0,
    delay: int = 1,
) -> jax.Array:
    """SILO's max_lr of each pruning cycle, for any sequence of sparsities.

    ``max_lr[m] = lower + (upper - lower) · s_curve(sparsities[m - delay])``, and ``lower`` during
    the first ``delay`` cycles.

    Args:
      sparsities: share of the weights that is pruned while cycle m trains, shape ``(num_cycles,)``,
        in [0, 1]; the dense network's is 0.
      lower: max_lr at sparsity 0, at least 0.
      upper: max_lr at sparsity 1, at least 0.
      steepness: β of `s_curve`.
      delay: cycles by which the peaks lag behind the sparsity, at least 0.

    Returns:
      Float array of shape ``(num_cycles,)``.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import silo_peaks_from_sparsity
      >>> peaks = silo_peaks_from_sparsity([0.0, 0.5, 0.9, 0.9], lower=0.1, upper=0.3)
      >>> [round(float(lr), 4) for lr in peaks]
      [0.1, 0.1, 0.2, 0.3]
    """
    for name, rate in (("lower", lower), ("upper", upper)):
        require_rates(name, rate)
        require_scalar(name, rate)
    require_scalar("steepness", steepness)
    require_int("delay", delay, minimum=0)
    require("sparsities", sparsities, lambda x: (x >= 0) & (x <= 1), "between 0 and 1")
    delayed = jnp.asarray(sparsities, float)
    if delayed.ndim != 1 or delayed.size == 0:
        raise ValueError(f"sparsities: shape {delayed.shape}; allowed: (num_cycles,), at least 1")
    dense = jnp.zeros(min(delay, delayed.size), delayed.dtype)
    share = s_curve(jnp.concatenate([dense, delayed[: delayed.size - dense.size]]), steepness)
    return interpolate(lower, upper, share, 1 - share)


def _can_broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(left, right)
    except ValueError:
        return False
    return True


def _power(base: jax.Array, exponent: ArrayLike) -> jax.Array:
    """base ** exponent, with the gradient 0 where it would be infinite: base 0, exponent < 1."""
    infinite_slope = (base == 0) & (jnp.asarray(exponent) < 1)
    return jnp.where(infinite_slope, 0.0, jnp.where(infinite_slope, 1.0, base) ** exponent)
