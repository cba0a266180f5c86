"""A warm-up before any shape."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from silo_jax.schedules.arguments import MAX_STEPS, require_schedule, require_share, require_steps
from silo_jax.schedules.interpolation import straight_line
from silo_jax.schedules.steps import clip_step


def with_warmup(
    shape: optax.Schedule, warmup_steps: int, initial_share: float = 0.0
) -> optax.Schedule:
    """Puts a linear ramp before a shape, which starts when the ramp has reached its first value.

    ``initial_share + (shape(0) − initial_share) · t / warmup_steps`` up to step warmup_steps, from
    there on ``shape(t − warmup_steps)``.

    Args:
      shape: any optax schedule; of `silo_jax.shapes`, or several of them composed.
      warmup_steps: steps of the ramp, at least 0 (the shape as it is).
      initial_share: first value of the ramp as a share of the peak, in [0, 1].

    Returns:
      An optax schedule with the peak of ``shape``, longer by ``warmup_steps``.

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import shapes, with_warmup
      >>> shape = with_warmup(shapes.linear_decay(4), warmup_steps=2)
      >>> shape(range(7)).tolist()
      [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]

    References:
      Goyal et al., "Accurate, Large Minibatch SGD", 2017, arXiv:1706.02677, section 2.2.
    """
    require_schedule("shape", shape)
    require_steps("warmup_steps", warmup_steps, minimum=0)
    require_share("initial_share", initial_share)
    if warmup_steps == 0:
        return shape

    def warmed_up(step: Any) -> jax.Array:
        step = clip_step(step, MAX_STEPS)
        ramp_step = jnp.minimum(step, warmup_steps)
        return straight_line(initial_share, shape(step - ramp_step), ramp_step, warmup_steps)

    return warmed_up
