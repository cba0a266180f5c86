"""The cycle combinator: shapes with peak 1, one a cycle, each at that cycle's peak."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from silo_jax.checks import shown
from silo_jax.schedules.arguments import require_rates, require_schedule
from silo_jax.schedules.peaks import silo_peaks
from silo_jax.schedules.steps import cycle_lengths, locate


def cycle_schedule(
    shape: optax.Schedule | Sequence[optax.Schedule],
    peaks: ArrayLike | Sequence[float],
    steps_per_cycle: int | Sequence[int],
) -> optax.Schedule:
    r"""Starts a shape afresh every cycle, scaled to the cycle's peak.

    .. math::

        \text{lr}(t) = \text{peaks}[m] \cdot \text{shape}_m(t - t_m),
        \qquad t_m \le t < t_{m + 1}, \qquad t_m = n_0 + \dots + n_{m - 1}

    with :math:`n_m` steps in cycle m. Past the last cycle the value at its last step holds, and a
    negative step counts as 0. The peaks are data: they are gathered, so the size of the program is
    the same for any number of cycles, and under ``jit`` they may be traced.

    Args:
      shape: schedule with peak 1 over a cycle's steps, counted from 0 (see `silo_jax.shapes`); or
        one such schedule a cycle. Those that are the same object are evaluated once.
      peaks: max_lr of each cycle, at least 0, shape ``(num_cycles,)``. List, NumPy or JAX
        array, traced or not.
      steps_per_cycle: steps in a cycle, at least 1; one number, or one a cycle.

    Returns:
      An optax schedule. It takes a step or an array of steps (Python, NumPy or JAX; traced or not)
      and returns an array of that shape.

    Raises:
      ValueError: no peaks, peaks that are not a vector, a negative peak (when concrete),
        steps_per_cycle below 1, 2^31 steps and more in all, or shapes or steps_per_cycle that are
        not as many as the peaks.

    Example:
      >>> from silo_jax import cycle_schedule, shapes
      >>> schedule = cycle_schedule(shapes.linear_decay(4), peaks=[0.1, 0.2], steps_per_cycle=4)
      >>> [round(float(lr), 3) for lr in schedule([0, 3, 4, 7, 100])]
      [0.1, 0.025, 0.2, 0.05, 0.05]

      A long first cycle, then short ones:

      >>> long, short = shapes.linear_decay(4), shapes.linear_decay(2)
      >>> schedule = cycle_schedule([long, short, short], [0.1, 0.2, 0.3], [4, 2, 2])
      >>> [round(float(lr), 3) for lr in schedule(range(8))]
      [0.1, 0.075, 0.05, 0.025, 0.2, 0.1, 0.3, 0.15]
    """
    require_rates("peaks", peaks)
    peaks = jnp.asarray(peaks, float)
    if peaks.ndim != 1 or peaks.size == 0:
        raise ValueError(f"peaks: shape {peaks.shape}; allowed: (num_cycles,), at least 1")
    lengths = cycle_lengths(steps_per_cycle, peaks.size)
    shape_of_cycle = _shape_of_cycle(shape, peaks.size)

    def schedule(step: Any) -> jax.Array:
        cycle, step_in_cycle = locate(step, lengths)
        return peaks[cycle] * shape_of_cycle(cycle, step_in_cycle)

    return schedule


def silo_schedule(
    shape: optax.Schedule | Sequence[optax.Schedule],
    *,
    num_cycles: int,
    steps_per_cycle: int | Sequence[int],
    lower: ArrayLike,
    upper: ArrayLike,
    prune_fraction: ArrayLike = 0.2,
    steepness: ArrayLike = 5.0,
    delay: int = 1,
) -> optax.Schedule:
    """SILO as an optax schedule: `cycle_schedule` over the peaks of `silo_peaks`.

    For another way to prune than the same share of what is left every cycle, give
    `cycle_schedule` the peaks of `silo_peaks_from_sparsity`.

    Args:
      shape: schedule with peak 1 within a cycle (see `silo_jax.shapes`), or one a cycle.
      num_cycles: number of pruning cycles, the dense one included.
      steps_per_cycle: steps in a cycle; one number, or one a cycle.
      lower: max_lr of the dense network.
      upper: max_lr that is approached as the sparsity goes to 1.
      prune_fraction: share of the remaining weights that goes at the end of each cycle.
      steepness: β of `s_curve`.
      delay: cycles by which the peaks lag behind the sparsity.

    Returns:
      An optax schedule over the steps of all cycles.

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


def _shape_of_cycle(
    shape: optax.Schedule | Sequence[optax.Schedule], num_cycles: int
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A function of the cycle and the step in it; every distinct shape is evaluated once."""
    if callable(shape):
        return lambda cycle, step: shape(step)
    if not isinstance(shape, Sequence):
        raise ValueError(f"shape: {shown(shape)}; allowed: an optax schedule, or one a cycle")
    if len(shape) != num_cycles:
        raise ValueError(
            f"shape: {len(shape)} schedules; allowed: one, or one a cycle ({num_cycles})"
        )
    for one in shape:
        require_schedule("shape", one)
    distinct = {id(one): one for one in shape}
    if len(distinct) == 1:
        return lambda cycle, step: shape[0](step)
    which = jnp.array([list(distinct).index(id(one)) for one in shape])

    def shape_of_cycle(cycle: jax.Array, step: jax.Array) -> jax.Array:
        index = which[cycle]
        values = [one(step) for one in distinct.values()]
        return jnp.select([index == i for i in range(len(values))], values)

    return shape_of_cycle
