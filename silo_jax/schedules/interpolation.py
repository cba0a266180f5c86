"""Between two values, to the last digit at either end."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def interpolate(
    start: ArrayLike, end: ArrayLike, done: jax.Array | np.ndarray, left: jax.Array | np.ndarray
) -> jax.Array:
    """``start + (end − start) · done``, given the shares done and left, which add up to 1.

    It is counted from the nearer end: exact at both, never past either, and what comes close to 0
    keeps its digits, which the difference of two numbers near 1 would lose.
    """
    start, end = jnp.asarray(start, float), jnp.asarray(end, float)
    return jnp.where(done <= left, start + (end - start) * done, end + (start - end) * left)


def straight_line(start: ArrayLike, end: ArrayLike, step: jax.Array, num_steps: int) -> jax.Array:
    """The straight line from start at step 0 to end at step num_steps, which is counted exactly."""
    return interpolate(start, end, step / num_steps, (num_steps - step) / num_steps)
