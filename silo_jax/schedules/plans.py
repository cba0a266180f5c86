"""Plans of pruning: the sparsity while each cycle trains, as a float array.

Entry m is the share of the weights that is pruned while cycle m trains; pruning itself comes at a
cycle's end. `silo_jax.silo_peaks_from_sparsity` reads the peaks of any plan, these or a list of
one's own.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from silo_jax.checks import require, require_int
from silo_jax.schedules.arguments import require_scalar, require_share
from silo_jax.schedules.interpolation import interpolate


def geometric(num_cycles: int, prune_fraction: ArrayLike = 0.2) -> jax.Array:
    r"""Every cycle's end prunes the same share p of what is left: :math:`s_m = 1 - (1 - p)^m`.

    Args:
      num_cycles: number of cycles, the dense one included; at least 1.
      prune_fraction: p, share of the *remaining* weights that goes, in [0, 1). May be traced.

    Returns:
      Float array of shape ``(num_cycles,)``; entry 0 is 0.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import plans
      >>> [round(float(s), 3) for s in plans.geometric(5, prune_fraction=0.2)]
      [0.0, 0.2, 0.36, 0.488, 0.59]

    References:
      Frankle & Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, arXiv:1803.03635.
    """
    require_int("num_cycles", num_cycles, minimum=1)
    require("prune_fraction", prune_fraction, lambda p: (p >= 0) & (p < 1), "at least 0, below 1")
    require_scalar("prune_fraction", prune_fraction)
    fraction = jnp.asarray(prune_fraction, float)
    below_one = 1 - jnp.finfo(fraction.dtype).epsneg
    log_kept = jnp.log1p(-jnp.minimum(fraction, below_one))
    return -jnp.expm1(jnp.arange(num_cycles, dtype=float) * log_kept)


def linear(
    num_cycles: int,
    final_sparsity: ArrayLike,
    initial_sparsity: ArrayLike = 0.0,
    start: int = 0,
    end: int | None = None,
) -> jax.Array:
    r"""Every cycle's end from ``start`` on prunes the same number of weights, until ``end``.

    .. math:: s_m = s_i + (s_f - s_i) \, \frac{m - \text{start}}{\text{end} - \text{start}}

    from ``start`` to ``end``; :math:`s_i` before, :math:`s_f` after.

    Args:
      num_cycles: number of cycles; at least 1.
      final_sparsity: s_f, in [0, 1]. May be traced.
      initial_sparsity: s_i, at most ``final_sparsity``. May be traced.
      start: last cycle that trains at the initial sparsity.
      end: first cycle that trains at the final sparsity; by default the last cycle.

    Returns:
      Float array of shape ``(num_cycles,)``.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import plans
      >>> [round(float(s), 3) for s in plans.linear(5, final_sparsity=0.8)]
      [0.0, 0.2, 0.4, 0.6, 0.8]
    """
    left = _share_left(num_cycles, start, end)
    return _between(initial_sparsity, final_sparsity, left)


def cubic(
    num_cycles: int,
    final_sparsity: ArrayLike,
    initial_sparsity: ArrayLike = 0.0,
    start: int = 0,
    end: int | None = None,
) -> jax.Array:
    r"""Gradual pruning: fast while many weights are left, then slower and slower.

    .. math::

        s_m = s_f + (s_i - s_f)
              \left(1 - \frac{m - \text{start}}{\text{end} - \text{start}}\right)^3

    from ``start`` to ``end``; :math:`s_i` before, :math:`s_f` after.

    Args:
      num_cycles: number of cycles; at least 1.
      final_sparsity: s_f, in [0, 1]. May be traced.
      initial_sparsity: s_i, at most ``final_sparsity``. May be traced.
      start: last cycle that trains at the initial sparsity (t₀ of the paper, in cycles).
      end: first cycle that trains at the final sparsity (t₀ + nΔt); by default the last cycle.

    Returns:
      Float array of shape ``(num_cycles,)``.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import plans
      >>> [round(float(s), 3) for s in plans.cubic(5, final_sparsity=0.8)]
      [0.0, 0.463, 0.7, 0.788, 0.8]

    References:
      Zhu & Gupta, "To prune, or not to prune", 2017, arXiv:1710.01878, eq. 1.
    """
    left = _share_left(num_cycles, start, end)
    return _between(initial_sparsity, final_sparsity, left**3)


def one_shot(num_cycles: int, final_sparsity: ArrayLike, start: int = 0) -> jax.Array:
    """All is pruned at once, at the end of cycle ``start``: 0 up to it, then the final sparsity.

    Args:
      num_cycles: number of cycles; at least 1.
      final_sparsity: sparsity of the cycles after ``start``, in [0, 1]. May be traced.
      start: last cycle that trains the dense network.

    Returns:
      Float array of shape ``(num_cycles,)``.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import plans
      >>> [round(float(s), 3) for s in plans.one_shot(4, final_sparsity=0.8, start=1)]
      [0.0, 0.0, 0.8, 0.8]
    """
    require_int("start", start, minimum=0)
    left = _share_left(num_cycles, start, start + 1)
    return _between(0.0, final_sparsity, left)


def _share_left(num_cycles: int, start: int, end: int | None) -> np.ndarray:
    """The share of the way from ``start`` to ``end`` that each cycle has before it."""
    require_int("num_cycles", num_cycles, minimum=1)
    require_int("start", start, minimum=0)
    if end is None:
        end = max(num_cycles - 1, start + 1)
    require_int("end", end, minimum=start + 1)
    return np.clip((end - np.arange(num_cycles)) / (end - start), 0, 1)


def _between(initial: Any, final: Any, left: np.ndarray) -> jax.Array:
    require_share("initial_sparsity", initial)
    require_share("final_sparsity", final)
    growth = final - initial
    require("final_sparsity - initial_sparsity", growth, lambda g: g >= 0, "at least 0")
    return interpolate(initial, final, 1 - left, left)
