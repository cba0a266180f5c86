"""Shapes of the learning rate within a cycle: optax schedules whose peak is 1.

A shape is multiplied by a cycle's peak (`silo_jax.cycle_schedule`), so it says how the learning
rate moves and never how large it is. Each takes a step or an array of steps and returns an array
of that shape; past its last step it holds its last value.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from silo_jax.checks import require, require_int, shown
from silo_jax.schedules.arguments import (
    MAX_STEPS,
    require_scalar,
    require_share,
    require_steps,
)
from silo_jax.schedules.interpolation import interpolate, straight_line
from silo_jax.schedules.steps import clip_step
from silo_jax.schedules.warmup import with_warmup

__all__ = [
    "constant",
    "cosine_decay",
    "linear_decay",
    "one_cycle",
    "triangular",
    "warmup_step_decay",
    "with_warmup",
]


def constant() -> optax.Schedule:
    """1 at every step.

    Returns:
      An optax schedule with peak 1.

    Example:
      >>> from silo_jax import shapes
      >>> float(shapes.constant()(7))
      1.0
    """
    return lambda step: jnp.ones(np.shape(step))


def linear_decay(decay_steps: int, floor: float = 0.0) -> optax.Schedule:
    """A straight line from 1 at step 0 to the floor: ``1 − (1 − floor) · t / decay_steps``.

    Args:
      decay_steps: steps until the floor is reached, at least 1.
      floor: last value as a share of the peak, in [0, 1].

    Returns:
      An optax schedule with peak 1.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import shapes
      >>> shapes.linear_decay(4)([0, 1, 4, 9]).tolist()
      [1.0, 0.75, 0.0, 0.0]
    """
    require_steps("decay_steps", decay_steps, minimum=1)
    require_share("floor", floor)
    return lambda step: straight_line(1.0, floor, clip_step(step, decay_steps), decay_steps)


def cosine_decay(decay_steps: int, floor: float = 0.0) -> optax.Schedule:
    """Half a cosine wave from 1 to the floor: ``floor + (1 − floor) · (1 + cos(π t / n)) / 2``.

    Args:
      decay_steps: n, steps until the floor is reached, at least 1.
      floor: last value as a share of the peak, in [0, 1].

    Returns:
      An optax schedule with peak 1.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import shapes
      >>> [round(float(v), 3) for v in shapes.cosine_decay(4)([0, 1, 2, 4])]
      [1.0, 0.854, 0.5, 0.0]

    References:
      Loshchilov & Hutter, "SGDR", ICLR 2017, arXiv:1608.03983.
    """
    require_steps("decay_steps", decay_steps, minimum=1)
    require_share("floor", floor)

    def shape(step: Any) -> jax.Array:
        done, left = _shares(step, decay_steps)
        return interpolate(1.0, floor, _half_wave(done), _half_wave(left))

    return shape


def triangular(total_steps: int, floor: float = 0.0, num_triangles: int = 1) -> optax.Schedule:
    """Straight lines up from the floor to 1 and down again, once or several times (cyclical LR).

    ``1 − (1 − floor) · |2 f − 1|`` where f is the fractional part of
    ``num_triangles · t / total_steps``.

    Args:
      total_steps: steps of all triangles together; at least 2 a triangle.
      floor: value at both ends of a triangle as a share of the peak, in [0, 1].
      num_triangles: number of triangles, at least 1.

    Returns:
      An optax schedule with peak 1 (reached when ``total_steps`` is a multiple of
      ``2 · num_triangles``).

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import shapes
      >>> shapes.triangular(4)([0, 1, 2, 3, 4]).tolist()
      [0.0, 0.5, 1.0, 0.5, 0.0]
      >>> shapes.triangular(8, floor=0.5, num_triangles=2)(range(9)).tolist()
      [0.5, 0.75, 1.0, 0.75, 0.5, 0.75, 1.0, 0.75, 0.5]

    References:
      Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, arXiv:1506.01186.
    """
    require_int("num_triangles", num_triangles, minimum=1)
    require_steps("total_steps", total_steps, minimum=2 * num_triangles)
    require_share("floor", floor)
    # num_triangles · t mod total_steps, without a product that could pass 2^31.
    multiples = np.arange(num_triangles) * total_steps
    first_steps = jnp.asarray(-(-multiples // num_triangles))
    leads = jnp.asarray(-multiples % num_triangles)

    def shape(step: Any) -> jax.Array:
        step = clip_step(step, total_steps)
        triangle = jnp.searchsorted(first_steps, step, side="right") - 1
        position = num_triangles * (step - first_steps[triangle]) + leads[triangle]
        to_nearest_end = jnp.minimum(position, total_steps - position)
        return straight_line(floor, 1.0, 2 * to_nearest_end, total_steps)

    return shape


def one_cycle(
    total_steps: int,
    warmup_share: float = 0.3,
    initial_share: float = 1 / 25,
    final_share: float = 1 / 250_000,
) -> optax.Schedule:
    """Half a cosine wave up from a share of the peak to 1, then half a wave down to nearly 0.

    With a = warmup_share and c(x) = (1 − cos(π x)) / 2, at the share x = t / total_steps that is
    done: ``initial_share + (1 − initial_share) · c(x / a)`` up to a, from there on
    ``1 − (1 − final_share) · c((x − a) / (1 − a))``.

    Args:
      total_steps: steps of the whole shape, at least 2.
      warmup_share: share of the steps spent going up, in (0, 1).
      initial_share: first value as a share of the peak, in [0, 1].
      final_share: last value as a share of the peak, in [0, 1].

    Returns:
      An optax schedule with peak 1 (reached when ``warmup_share · total_steps`` is an integer).

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import shapes
      >>> [round(float(v), 3) for v in shapes.one_cycle(100)([0, 15, 30, 65, 100])]
      [0.04, 0.52, 1.0, 0.5, 0.0]

    References:
      Smith & Topin, "Super-Convergence", 2018, arXiv:1708.07120; the cosine form and its defaults
      are those of PyTorch's OneCycleLR.
    """
    require_steps("total_steps", total_steps, minimum=2)
    require("warmup_share", warmup_share, lambda x: (x > 0) & (x < 1), "between 0 and 1")
    require_scalar("warmup_share", warmup_share)
    require_share("initial_share", initial_share)
    require_share("final_share", final_share)

    def shape(step: Any) -> jax.Array:
        done, left = _shares(step, total_steps)
        up = jnp.minimum(done / warmup_share, 1)
        down = jnp.minimum(left / (1 - warmup_share), 1)
        rising = interpolate(initial_share, 1.0, _half_wave(up), _half_wave(1 - up))
        falling = interpolate(1.0, final_share, _half_wave(1 - down), _half_wave(down))
        return jnp.where(done < warmup_share, rising, falling)

    return shape


def warmup_step_decay(
    warmup_steps: int,
    drop_steps: Sequence[int] = (),
    drop_factor: float = 0.1,
    initial_share: float = 0.0,
    warmup_cut_step: int | None = None,
) -> optax.Schedule:
    """Linear warm-up to 1, then a drop by a factor at each of the given steps.

    ``ramp(t) · drop_factor ** (number of drop_steps ≤ t)``, where the ramp goes from
    initial_share at step 0 to 1 at step warmup_steps, or is left for 1 at warmup_cut_step, as both
    scripts of the SILO authors do. Below a drop that comes before its end the ramp goes on.

    Args:
      warmup_steps: steps of the ramp, at least 0 (no warm-up).
      drop_steps: steps at which the learning rate drops, ascending; any number of them.
      drop_factor: what each drop multiplies by, in [0, 1].
      initial_share: first value of the ramp as a share of the peak, in [0, 1].
      warmup_cut_step: step from which on the ramp counts as 1, however far it is; at least 0.

    Returns:
      An optax schedule with peak 1.

    Raises:
      ValueError: an argument is out of its range, or drops out of order.

    Example:
      >>> from silo_jax import shapes
      >>> shape = shapes.warmup_step_decay(warmup_steps=4, drop_steps=(8, 10))
      >>> [round(float(v), 3) for v in shape([0, 1, 4, 7, 8, 10])]
      [0.0, 0.25, 1.0, 1.0, 0.1, 0.01]
      >>> shapes.warmup_step_decay(warmup_steps=4, warmup_cut_step=2)(range(4)).tolist()
      [0.0, 0.25, 1.0, 1.0]

    References:
      Frankle & Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, arXiv:1803.03635.
    """
    ramp = with_warmup(constant(), warmup_steps, initial_share)
    cut_step = warmup_steps if warmup_cut_step is None else warmup_cut_step
    require_steps("warmup_cut_step", cut_step, minimum=0)
    if not np.iterable(drop_steps):
        raise ValueError(f"drop_steps: {shown(drop_steps)}; allowed: a sequence of steps")
    drop_steps = tuple(drop_steps)
    for step in drop_steps:
        require_steps("drop_steps", step, minimum=0)
    if list(drop_steps) != sorted(set(drop_steps)):
        raise ValueError(f"drop_steps: {drop_steps}; allowed: ascending steps")
    require_share("drop_factor", drop_factor)
    drops = jnp.asarray(drop_steps, int)
    factors = jnp.asarray([drop_factor**n for n in range(len(drop_steps) + 1)], float)

    def shape(step: Any) -> jax.Array:
        step = clip_step(step, MAX_STEPS)
        num_drops = jnp.searchsorted(drops, step, side="right")
        return jnp.where(step < cut_step, ramp(step), 1) * factors[num_drops]

    return shape


def _shares(step: Any, num_steps: int) -> tuple[jax.Array, jax.Array]:
    """The shares of ``num_steps`` that are done and left, each from its own whole number."""
    done = clip_step(step, num_steps)
    return done / num_steps, (num_steps - done) / num_steps


def _half_wave(share: jax.Array) -> jax.Array:
    """``(1 − cos(π x)) / 2``, from 0 to 1, as the square of a sine: nothing cancels near 0."""
    return jnp.sin(jnp.pi / 2 * share) ** 2
