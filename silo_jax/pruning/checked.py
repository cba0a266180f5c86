"""Checks of what pruning is given: the criterion, and that masks and scores fit the weights."""

from typing import Any

import jax
import jax.numpy as jnp

from silo_jax.checks import require_choice
from silo_jax.pruning.criteria import CRITERIA, Criterion
from silo_jax.pruning.masks import named_leaves

PyTree = Any

_MAX_WEIGHTS = 2**31 - 1


def criterion_function(criterion: Criterion | str) -> Criterion:
    """The criterion of a name; a function is handed back.

    Raises:
      ValueError: the name is none of ``CRITERIA``.
    """
    if callable(criterion):
        return criterion
    require_choice("criterion", criterion, CRITERIA)
    return CRITERIA[criterion]


def check_fit(params: PyTree, masks: PyTree) -> None:
    """Raises ValueError unless the masks, a tree of arrays, fit the weights."""
    if not same_structure(params, masks):
        raise ValueError("masks: a structure other than that of params; allowed: the same tree")
    for (path, weight), mask in zip(named_leaves(params), jax.tree.leaves(masks), strict=True):
        shape = getattr(weight, "shape", ())
        if mask.dtype != bool or mask.shape not in ((), shape):
            allowed = f"bool {shape} or a scalar"
            raise ValueError(f"masks: {path} is {mask.dtype} {mask.shape}; allowed: {allowed}")
    if sum(mask.size for mask in jax.tree.leaves(masks)) > _MAX_WEIGHTS:
        raise ValueError(f"masks: more than {_MAX_WEIGHTS} weights; allowed: at most that many")


def check_scores(scores: PyTree, masks: PyTree) -> None:
    """Raises ValueError unless every prunable weight has a floating-point score."""
    if not same_structure(scores, masks):
        raise ValueError("criterion: scores of another structure; allowed: that of params")
    for (path, score), mask in zip(named_leaves(scores), jax.tree.leaves(masks), strict=True):
        if mask.ndim == 0:
            continue
        shape, dtype = jnp.shape(score), jnp.result_type(score)
        if shape != mask.shape or not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(
                f"criterion: {path} scored {dtype} {shape}; allowed: floats {mask.shape}"
            )


def check_nan(scores: PyTree, masks: PyTree) -> None:
    """Raises ValueError where a living weight's score is NaN; tracers are let through.

    The answers for all leaves come to the host together.
    """
    named = [
        (path, jnp.any(jnp.isnan(score) & mask))
        for (path, score), mask in zip(named_leaves(scores), jax.tree.leaves(masks), strict=True)
        if mask.ndim
    ]
    if any(isinstance(has_nan, jax.core.Tracer) for _, has_nan in named):
        return
    for (path, _), has_nan in zip(named, jax.device_get([flag for _, flag in named]), strict=True):
        if has_nan:
            raise ValueError(f"criterion: {path} has a score that is NaN; allowed: numbers")


def same_structure(left: PyTree, right: PyTree) -> bool:
    structures: list[Any] = [jax.tree.structure(tree) for tree in (left, right)]
    return bool(structures[0] == structures[1])
