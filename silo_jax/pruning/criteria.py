"""Criteria: functions from trees to a tree of scores; the lowest scores are pruned first."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from silo_jax.pruning.masks import is_prunable_array

PyTree = Any


def magnitude(params: PyTree) -> PyTree:
    """``|w|`` of every weight (Han et al., "Learning both Weights and Connections", 2015)."""
    return jax.tree.map(lambda leaf: jnp.abs(leaf) if is_prunable_array(leaf) else leaf, params)


CRITERIA: dict[str, Callable[[PyTree], PyTree]] = {"magnitude": magnitude}
