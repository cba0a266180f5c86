"""Pruning: from weights and masks to masks with exactly so many weights fewer."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from silo_jax.checks import require, require_choice
from silo_jax.pruning.criteria import CRITERIA
from silo_jax.pruning.masks import named_leaves
from silo_jax.pruning.rounding import Words, fixed_point, round_product
from silo_jax.pruning.selection import lowest

PyTree = Any

SCOPES = ("global", "layerwise")
_MAX_WEIGHTS = 2**31 - 1


def prune(
    params: PyTree,
    masks: PyTree,
    fraction: ArrayLike,
    *,
    criterion: str | Callable[[PyTree], PyTree] = "magnitude",
    scope: str = "global",
) -> PyTree:
    """Prunes a share of the weights that are left: those with the lowest scores.

    Exactly ``round(fraction · remaining)`` weights go, as Python rounds (ties to even), under
    ``jit`` as well. Weights that are pruned already are never counted again, whatever their value.
    Equal scores go in the order of the leaves and of the flat index.

    Args:
      params: tree of weights.
      masks: bool tree of the structure of ``params`` (see `init_masks`).
      fraction: share of the remaining prunable weights to prune, in [0, 1]; may be traced.
      criterion: "magnitude", or a function from ``params`` to a tree of scores of the same
        structure and shapes; the lowest are pruned. Scores are compared as float32.
      scope: "global" ranks all weights together, "layerwise" takes the fraction of every leaf.

    Returns:
      Masks of the same structure, nested in the old ones: none comes back.

    Raises:
      ValueError: the fraction, criterion or scope is not allowed; masks that do not fit the
        weights; scores that are NaN (when concrete; traced NaNs rank above every number).

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import init_masks, prune
      >>> params = {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]])}
      >>> prune(params, init_masks(params), 0.5)["kernel"].tolist()
      [[True, False], [False, True]]
    """
    require("fraction", fraction, lambda f: (f >= 0) & (f <= 1), "between 0 and 1")
    if np.ndim(fraction):
        raise ValueError(f"fraction: shape {np.shape(fraction)}; allowed: a scalar")
    require_choice("scope", scope, SCOPES)
    if not callable(criterion):
        require_choice("criterion", criterion, CRITERIA)
        criterion = CRITERIA[criterion]
    masks = jax.tree.map(jnp.asarray, masks)
    _check_fit(params, masks)
    scores = criterion(params)
    _check_scores(scores, masks)

    leaves, structure = jax.tree.flatten(masks)
    prunable = [i for i, mask in enumerate(leaves) if mask.ndim]
    score_leaves = jax.tree.leaves(scores)
    share = fixed_point(fraction)
    groups = [prunable] if scope == "global" and prunable else [[i] for i in prunable]
    for group in groups:
        kept = [leaves[i] for i in group]
        pruned = _prune_group([score_leaves[i] for i in group], kept, share)
        for i, mask in zip(group, pruned, strict=True):
            leaves[i] = mask
    return jax.tree.unflatten(structure, leaves)


@jax.jit
def _prune_group(
    scores: Sequence[jax.Array], masks: Sequence[jax.Array], share: Words
) -> list[jax.Array]:
    remaining = jnp.stack([jnp.sum(mask, dtype=jnp.int32) for mask in masks]).sum()
    going = lowest(scores, masks, round_product(share, remaining))
    return [mask & ~gone for mask, gone in zip(masks, going, strict=True)]


def _check_fit(params: PyTree, masks: PyTree) -> None:
    if not _same_structure(params, masks):
        raise ValueError("masks: a structure other than that of params; allowed: the same tree")
    for (path, weight), mask in zip(named_leaves(params), jax.tree.leaves(masks), strict=True):
        shape = getattr(weight, "shape", ())
        if mask.dtype != bool or mask.shape not in ((), shape):
            allowed = f"bool {shape} or a scalar"
            raise ValueError(f"masks: {path} is {mask.dtype} {mask.shape}; allowed: {allowed}")
    if sum(mask.size for mask in jax.tree.leaves(masks)) > _MAX_WEIGHTS:
        raise ValueError(f"masks: more than {_MAX_WEIGHTS} weights; allowed: at most that many")


def _check_scores(scores: PyTree, masks: PyTree) -> None:
    if not _same_structure(scores, masks):
        raise ValueError("criterion: scores of another structure; allowed: that of params")
    for (path, score), mask in zip(named_leaves(scores), jax.tree.leaves(masks), strict=True):
        if mask.ndim == 0:
            continue
        shape, dtype = jnp.shape(score), jnp.result_type(score)
        if shape != mask.shape or not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(
                f"criterion: {path} scored {dtype} {shape}; allowed: floats {mask.shape}"
            )
        has_nan = jnp.any(jnp.isnan(score) & mask)
        if not isinstance(has_nan, jax.core.Tracer) and has_nan:
            raise ValueError(f"criterion: {path} has a score that is NaN; allowed: numbers")


def _same_structure(left: PyTree, right: PyTree) -> bool:
    structures: list[Any] = [jax.tree.structure(tree) for tree in (left, right)]
    return bool(structures[0] == structures[1])
