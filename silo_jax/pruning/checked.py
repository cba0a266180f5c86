"""Checks of what pruning is given: the criterion, and that masks and scores fit the weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax.checks import require_choice, shown
from silo_jax.pruning.criteria import CRITERIA, NEED_MORE, Criterion
from silo_jax.pruning.masks import check_fit, named_leaves, require_arrays

PyTree = Any

_MAX_WEIGHTS = 2**31 - 1


def criterion_function(criterion: Criterion | str) -> Criterion:
    """The criterion of a name; a function is handed back.

    Raises:
      ValueError: the name is none of ``CRITERIA``.
    """
    if callable(criterion):
        return criterion
    if criterion in NEED_MORE:
        call = f"lambda params: criteria.{criterion}(params, {NEED_MORE[criterion]})"
        raise ValueError(f"criterion: {criterion!r} needs more; allowed: criterion={call}")
    require_choice("criterion", criterion, CRITERIA)
    return CRITERIA[criterion]


def check_trees(params: PyTree, masks: PyTree) -> None:
    """Raises ValueError unless there are weights, and masks that fit them and can be counted."""
    require_arrays("params", params)
    check_fit(params, masks)
    if sum(np.size(mask) for mask in jax.tree.leaves(masks)) > _MAX_WEIGHTS:
        raise ValueError(f"masks: more than {_MAX_WEIGHTS} weights; allowed: at most that many")


def require_axis(name: str, axis: int) -> None:
    """Raises ValueError unless the value is an integer, which an axis is."""
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise ValueError(f"{name}: {shown(axis)}; allowed: an integer")


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
