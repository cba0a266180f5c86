"""The cycle combinator: a shape with peak 1, repeated every cycle at that cycle's peak."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from silo_jax.checks import require_int
from silo_jax.schedules.peaks import require_rate, silo_peaks
from silo_jax.schedules.steps import clip_step, require_steps


def cycle_schedule(
    shape: optax.Schedule, peaks: ArrayLike | Sequence[float], steps_per_cycle: int
) -> optax.Schedule:
    r"""Repeats a shape every cycle, scaled to the cycle's peak.

    .. math::

        \text{lr}(t) = \text{peaks}[\lfloor t / n \rfloor] \cdot \text{shape}(t \bmod n)

    with n steps a cycle. Past the last cycle the value at its last step holds, and a negative step
    counts as 0. The peaks are data: they are gathered, so the program and its cost are the same
    for any number of cycles, and under ``jit`` they may be traced.

    Args:
      shape: schedule with peak 1 over the steps 0, …, steps_per_cycle − 1 (see `silo_jax.shapes`).
      peaks: max_lr of each cycle, at least 0, shape ``(num_cycles,)``. List, NumPy or JAX
        array, traced or not.
      steps_per_cycle: steps in a cycle, at least 1.

    Returns:
      An optax schedule. It takes a step or an array of steps (Python, NumPy or JAX; traced or not)
      and returns an array of that shape.

    Raises:
      ValueError: no peaks, peaks that are not a vector, a negative peak (when concrete),
        steps_per_cycle below 1, or 2^31 steps and more in all.

    Example:
      >>> from silo_jax import cycle_schedule, shapes
      >>> schedule = cycle_schedule(shapes.linear_decay(4), peaks=[0.1, 0.2], steps_per_cycle=4)
      >>> [round(float(lr), 3) for lr in schedule([0, 3, 4, 7, 100])]
      [0.1, 0.025, 0.2, 0.05, 0.05]
    """
    require_int("steps_per_cycle", steps_per_cycle, minimum=1)
    require_rate("peaks", peaks)
    peaks = jnp.asarray(peaks, float)
    if peaks.ndim != 1 or peaks.size == 0:
        raise ValueError(f"peaks: shape {peaks.shape}; allowed: (num_cycles,), at least 1")
    num_steps = peaks.size * steps_per_cycle
    require_steps("num_cycles * steps_per_cycle", num_steps, minimum=1)

    def schedule(step: Any) -> jax.Array:
        cycle, step_in_cycle = jnp.divmod(clip_step(step, num_steps - 1), steps_per_cycle)
        return peaks[cycle] * shape(step_in_cycle)

    return schedule


def silo_schedule(
    shape: optax.Schedule,
    *,
    num_cycles: int,
    steps_per_cycle: int,
    lower: ArrayLike,
    upper: ArrayLike,
    prune_fraction: ArrayLike = 0.2,
    steepness: ArrayLike = 5.0,
    delay: int = 1,
) -> optax.Schedule:
    """SILO as an optax schedule: `cycle_schedule` over the peaks of `silo_peaks`.

    Args:
      shape: schedule with peak 1 within a cycle (see `silo_jax.shapes`).
      num_cycles: number of pruning cycles, the dense one included.
      steps_per_cycle: steps in a cycle.
      lower: max_lr of the dense network.
      upper: max_lr that is approached as the sparsity goes to 1.
      prune_fraction: share of the remaining weights that goes at the end of each cycle.
      steepness: β of `s_curve`.
      delay: cycles by which the peaks lag behind the sparsity.

    Returns:
      An optax schedule over ``num_cycles · steps_per_cycle`` steps.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> import optax
      >>> from silo_jax import shapes, silo_schedule
      >>> schedule = silo_schedule(
      ...     shapes.warmup_step_decay(warmup_steps=100, drop_steps=(250, 320)),
      ...     num_cycles=25, steps_per_cycle=500, lower=0.03, upper=0.07)
      >>> optimizer = optax.sgd(schedule, momentum=0.9)
      >>> round(float(schedule(24 * 500 + 100)), 4)
      0.07

    References:
      arXiv:2212.06144.
    """
    peaks = silo_peaks(
        num_cycles,
        lower=lower,
        upper=upper,
        prune_fraction=prune_fraction,
        steepness=steepness,
        delay=delay,
    )
    return cycle_schedule(shape, peaks, steps_per_cycle)
