"""Steps and cycles in whole numbers: what is counted in integers is exact up to 2^31."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from silo_jax.schedules.arguments import require_steps


def clip_step(step: Any, last_step: int) -> jax.Array:
    """The step as a JAX integer array of its shape, clipped to 0, …, last_step.

    What is not JAX's is clipped by NumPy first, so that an integer past 2^31 does no harm. Of a
    float the whole part counts.
    """
    if not isinstance(step, jax.Array):
        return jnp.asarray(np.asarray(np.clip(step, 0, last_step), np.int64), int)
    if not jnp.issubdtype(step.dtype, jnp.integer):
        step = step.astype(int)
    return jnp.clip(step, 0, min(last_step, jnp.iinfo(step.dtype).max)).astype(int)


def cycle_lengths(steps_per_cycle: int | Sequence[int], num_cycles: int) -> NDArray[np.int64]:
    """The number of steps of each cycle, shape ``(num_cycles,)``, from one number or one a cycle.

    Raises:
      ValueError: a length below 1, another number of lengths than cycles, or 2^31 steps in all.
    """
    given: Any = steps_per_cycle
    if isinstance(given, str) or np.ndim(given) == 0:
        require_steps("steps_per_cycle", given, minimum=1)
        lengths = np.full(num_cycles, given, np.int64)
    else:
        for steps in given:
            require_steps("steps_per_cycle", steps, minimum=1)
        if len(given) != num_cycles:
            allowed = f"an integer, or one a cycle ({num_cycles})"
            raise ValueError(f"steps_per_cycle: {len(given)} cycles; allowed: {allowed}")
        lengths = np.array(given, np.int64)
    require_steps("steps of all cycles", int(lengths.sum()), minimum=1)
    return lengths


def locate(step: Any, lengths: NDArray[np.int64]) -> tuple[jax.Array, jax.Array]:
    """The cycle that a step lies in and its step there; past the last cycle, the last step."""
    ends = np.cumsum(lengths)
    step = clip_step(step, int(ends[-1]) - 1)
    if (lengths == lengths[0]).all():
        return jnp.divmod(step, int(lengths[0]))
    cycle = jnp.searchsorted(jnp.asarray(ends), step, side="right")
    return cycle, step - jnp.asarray(ends - lengths)[cycle]
