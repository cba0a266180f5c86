"""Step counters as users hand them in: Python, NumPy or JAX integers of any size and shape."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax.checks import require_int

_MAX_STEPS = 2**31 - 1


def require_steps(name: str, value: int, *, minimum: int) -> None:
    """`require_int` for a number of steps, which JAX has to be able to count."""
    require_int(name, value, minimum=minimum)
    if value > _MAX_STEPS:
        raise ValueError(f"{name}: {value}; allowed: at most {_MAX_STEPS}")


def clip_step(step: Any, last_step: int) -> jax.Array:
    """The step as a JAX integer array of its shape, clipped to 0, …, last_step.

    What is not JAX's is clipped by NumPy first, so that an integer past 2^31 does no harm.
    """
    numpy = jnp if isinstance(step, jax.Array) else np
    return jnp.asarray(numpy.clip(step, 0, last_step)).astype(int)
