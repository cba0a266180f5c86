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

from silo_jax.checks import require
from silo_jax.schedules.steps import clip_step, require_steps


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
    _require_share("floor", floor)
    return lambda step: 1 - (1 - floor) * _progress(step, decay_steps)


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
    _require_share("floor", floor)
    return lambda step: floor + (1 - floor) * _half_cosine(_progress(step, decay_steps))


def triangular(total_steps: int, floor: float = 0.0) -> optax.Schedule:
    """A straight line up from the floor to 1 at the middle, and down again (cyclical LR).

    Args:
      total_steps: steps of the triangle, up and down; at least 2.
      floor: value at both ends as a share of the peak, in [0, 1].

    Returns:
      An optax schedule with peak 1 (reached when ``total_steps`` is even).

    Raises:
      ValueError: an argument is out of its range.

    Example:
      >>> from silo_jax import shapes
      >>> shapes.triangular(4)([0, 1, 2, 3, 4]).tolist()
      [0.0, 0.5, 1.0, 0.5, 0.0]

    References:
      Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, arXiv:1506.01186.
    """
    require_steps("total_steps", total_steps, minimum=2)
    _require_share("floor", floor)
    return lambda step: 1 - (1 - floor) * jnp.abs(2 * _progress(step, total_steps) - 1)


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
    _require_share("initial_share", initial_share)
    _require_share("final_share", final_share)

    def shape(step: Any) -> jax.Array:
        progress = _progress(step, total_steps)
        up = 1 - _half_cosine(jnp.minimum(progress / warmup_share, 1))
        down = _half_cosine(jnp.maximum((progress - warmup_share) / (1 - warmup_share), 0))
        rising = initial_share + (1 - initial_share) * up
        falling = final_share + (1 - final_share) * down
        return jnp.where(progress < warmup_share, rising, falling)

    return shape


def warmup_step_decay(
    warmup_steps: int, drop_steps: Sequence[int] = (), drop_factor: float = 0.1
) -> optax.Schedule:
    """Linear warm-up from 0 to 1, then a drop by a factor at each of the given steps.

    ``min(t / warmup_steps, 1) · drop_factor ** (number of drop_steps ≤ t)``. A drop before the
    warm-up has ended cuts it: the ramp goes on below it, as in the authors' ResNet-20 script.

    Args:
      warmup_steps: steps of the ramp, at least 0 (no warm-up).
      drop_steps: steps at which the learning rate drops, ascending.
      drop_factor: what each drop multiplies by, in [0, 1].

    Returns:
      An optax schedule with peak 1.

    Raises:
      ValueError: an argument is out of its range, or drops out of order.

    Example:
      >>> from silo_jax import shapes
      >>> shape = shapes.warmup_step_decay(warmup_steps=4, drop_steps=(8, 10))
      >>> [round(float(v), 3) for v in shape([0, 1, 4, 7, 8, 10])]
      [0.0, 0.25, 1.0, 1.0, 0.1, 0.01]

    References:
      Frankle & Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, arXiv:1803.03635.
    """
    require_steps("warmup_steps", warmup_steps, minimum=0)
    for step in drop_steps:
        require_steps("drop_steps", step, minimum=0)
    if list(drop_steps) != sorted(set(drop_steps)):
        raise ValueError(f"drop_steps: {tuple(drop_steps)}; allowed: ascending steps")
    _require_share("drop_factor", drop_factor)
    drops = jnp.asarray(drop_steps, int)
    last_drop = max(drop_steps, default=0)

    def shape(step: Any) -> jax.Array:
        ramp = _progress(step, warmup_steps) if warmup_steps else jnp.ones(np.shape(step))
        num_drops = jnp.searchsorted(drops, clip_step(step, last_drop), side="right")
        return ramp * jnp.asarray(drop_factor, float) ** num_drops

    return shape


def _progress(step: Any, num_steps: int) -> jax.Array:
    """The share of ``num_steps`` that is done, clipped to [0, 1]."""
    return clip_step(step, num_steps) / num_steps


def _half_cosine(progress: jax.Array) -> jax.Array:
    return (1 + jnp.cos(jnp.pi * progress)) / 2


def _require_share(name: str, value: float) -> None:
    require(name, value, lambda x: (x >= 0) & (x <= 1), "between 0 and 1")
