"""Checks of arguments that the schedules share."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from silo_jax.checks import require, require_int, shown

MAX_STEPS = 2**31 - 1


def require_steps(name: str, value: int, *, minimum: int) -> None:
    """`require_int` for a number of steps, which JAX has to be able to count."""
    require_int(name, value, minimum=minimum)
    if value > MAX_STEPS:
        raise ValueError(f"{name}: {value}; allowed: at most {MAX_STEPS}")


def require_scalar(name: str, value: ArrayLike) -> None:
    """Raises ValueError for an array with dimensions; a tracer under ``vmap`` has none."""
    if np.ndim(value):
        raise ValueError(f"{name}: shape {np.shape(value)}; allowed: a scalar")


def require_share(name: str, value: ArrayLike) -> None:
    """Raises ValueError unless the value is a scalar in [0, 1]."""
    require(name, value, lambda x: (x >= 0) & (x <= 1), "between 0 and 1")
    require_scalar(name, value)


def require_rates(name: str, value: ArrayLike | Sequence[float]) -> None:
    """Raises ValueError unless every element can be a learning rate."""
    require(name, value, lambda lr: (lr >= 0) & (lr < jnp.inf), "finite, at least 0")


def require_schedule(name: str, value: Any) -> None:
    """Raises ValueError unless the value can be called, as an optax schedule is."""
    if not callable(value):
        raise ValueError(f"{name}: {shown(value)}; allowed: an optax schedule")
