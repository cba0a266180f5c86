"""Masks: a bool tree of the structure of the weights.

The mask of a prunable leaf has the leaf's shape; True marks a weight that is kept. The mask of any
other leaf is a scalar True: kept whole, never pruned, not counted.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey, keystr, tree_leaves_with_path, tree_map_with_path

from silo_jax.checks import shown

PyTree = Any
Prunable = Callable[[str], bool] | Sequence[str] | None

# Parts of a path that name biases, normalisation scales, embeddings and class tokens.
_NOT_KERNELS = re.compile(r"^(bias|scale|cls|cls_token|class_token)$|embed|norm", re.IGNORECASE)


def init_masks(params: PyTree, prunable: Prunable = None, *, exempt: Sequence[str] = ()) -> PyTree:
    """Masks that keep every weight.

    Args:
      params: tree of arrays: nested dicts, a Flax or nnx state, an equinox module, ….
      prunable: which leaves take part. By default kernels: floating-point leaves of two or more
        dimensions with no part of their path named as a bias, normalisation, embedding or class
        token. A callable gets the path (``"Dense_0/kernel"``) and answers; a list of regular
        expressions takes the leaves in whose path one of them is found. An expression that is
        the path of a leaf stands for that leaf alone.
      exempt: expressions for leaves that take no part after all, such as the first and the last
        layer of `layer_order`.

    Returns:
      Bool tree of the structure of ``params``: all True of the leaf's shape where a leaf is
      prunable, a scalar True where it is not.

    Raises:
      ValueError: params hold no array, no leaf is prunable, an expression matches nothing or is
        malformed, or a leaf that was asked for is not an array of real floating-point numbers with
        at least one dimension.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from silo_jax import init_masks
      >>> masks = init_masks({"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)})
      >>> jax.tree.map(jnp.shape, masks)
      {'bias': (), 'kernel': (2, 3)}
    """
    paths = [path for path, _ in named_leaves(params)]
    takes_part = _predicate(prunable, paths)
    left_out = _matching_any("exempt", exempt, paths)

    def mask_of(key_path: Any, leaf: Any) -> jax.Array:
        path = path_name(key_path)
        if path in left_out or not takes_part(path, leaf):
            return jnp.ones((), bool)
        if not is_prunable_array(leaf):
            kind = f"{leaf.dtype}{leaf.shape}" if hasattr(leaf, "dtype") else type(leaf).__name__
            raise ValueError(f"prunable: {path} is {kind}; allowed: real floating-point arrays")
        return jnp.ones(leaf.shape, bool)

    masks = tree_map_with_path(mask_of, params)
    if not any(mask.ndim for mask in jax.tree.leaves(masks)):
        require_arrays("params", params)
        raise ValueError("prunable: no leaf is prunable; allowed: a rule that takes at least one")
    return masks


def apply_masks(tree: PyTree, masks: PyTree) -> PyTree:
    """Zero wherever the mask is False: ``where(mask, leaf, 0)``, so a NaN there is gone too.

    Args:
      tree: tree of arrays of the structure of ``masks`` (weights, gradients, momentum, …).
      masks: bool tree (see `init_masks`).

    Returns:
      Tree of the same structure, shapes and dtypes.

    Raises:
      ValueError: the masks are no bool tree of this structure and these shapes.

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import apply_masks
      >>> tree, masks = {"w": jnp.array([1.0, jnp.nan])}, {"w": jnp.array([True, False])}
      >>> apply_masks(tree, masks)["w"].tolist()
      [1.0, 0.0]
    """
    check_fit(tree, masks, "tree")
    return jax.tree.map(apply_mask, tree, masks)


def apply_mask(leaf: jax.Array, mask: jax.Array) -> jax.Array:
    """`apply_masks` for one leaf."""
    if jnp.ndim(mask) == 0:
        return leaf
    return jnp.where(mask, leaf, jnp.zeros((), jnp.result_type(leaf)))


def sparsity(masks: PyTree) -> jax.Array:
    """The share of the prunable weights that is pruned.

    Args:
      masks: bool tree (see `init_masks`).

    Returns:
      Float scalar in [0, 1].

    Raises:
      ValueError: not a tree of bools.

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import sparsity
      >>> masks = {"kernel": jnp.array([[True, False], [False, False]]), "bias": jnp.array(True)}
      >>> float(sparsity(masks))
      0.75
    """
    _require_masks(masks)
    prunable = [mask for mask in jax.tree.leaves(masks) if jnp.ndim(mask)]
    num_pruned = sum(jnp.sum(~mask, dtype=int) for mask in prunable)
    return num_pruned / max(1, sum(mask.size for mask in prunable))


def layer_counts(masks: PyTree) -> dict[str, tuple[int, int]]:
    """Size and number of kept weights of every prunable leaf.

    Args:
      masks: bool tree (see `init_masks`), concrete.

    Returns:
      ``{path: (size, kept)}``.

    Raises:
      ValueError: not a tree of bools.

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax.pruning import layer_counts
      >>> layer_counts({"kernel": jnp.array([[True, False]]), "bias": jnp.array(True)})
      {'kernel': (2, 1)}
    """
    _require_masks(masks)
    return {
        path: (mask.size, int(jnp.sum(mask)))
        for path, mask in named_leaves(masks)
        if jnp.ndim(mask)
    }


def check_fit(tree: PyTree, masks: PyTree, name: str = "params", *, stacks: bool = False) -> None:
    """Refuses masks that do not fit a tree, by the leaf's path; only types and shapes are read.

    Args:
      tree: weights, or what has their structure and shapes.
      masks: bool tree (see `init_masks`).
      name: what the tree is, for the message.
      stacks: whether leaves may be stacks of what the masks are for, such as gradients by example.

    Raises:
      ValueError: another structure; a mask that is not bool, or neither a scalar nor of its leaf's
        shape.
    """
    structure: Any = jax.tree.structure(tree)
    try:
        partners = structure.flatten_up_to(masks)
    except ValueError:
        other = f"a structure other than that of {name}{_difference(tree, masks)}"
        raise ValueError(f"masks: {other}; allowed: the same tree") from None
    for (path, leaf), mask in zip(named_leaves(tree), partners, strict=True):
        shape, mask_shape = (getattr(each, "shape", ()) for each in (leaf, mask))
        if stacks:
            shape = shape[max(0, len(shape) - len(mask_shape)) :]
        allowed = f"bool {shape} or a scalar"
        if not _is_mask(mask) or mask_shape not in ((), shape):
            raise ValueError(f"masks: {path} is {_kind(mask)}; allowed: {allowed}")
        if isinstance(mask, bool | np.bool_) and not mask:
            raise ValueError(
                f"masks: {path} is False; allowed: {allowed} True, for a leaf kept whole"
            )


def require_arrays(name: str, tree: PyTree) -> None:
    """Raises ValueError for a tree in which there is no array."""
    if not any(hasattr(leaf, "dtype") and hasattr(leaf, "shape") for leaf in jax.tree.leaves(tree)):
        raise ValueError(f"{name}: {shown(tree)}; allowed: a tree of arrays")


def named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """The leaves with their paths, ``"Dense_0/kernel"``, in the tree's order."""
    return [(path_name(key_path), leaf) for key_path, leaf in tree_leaves_with_path(tree)]


def path_name(key_path: Any) -> str:
    """The path as text, without the attribute ``value`` in which nnx keeps an array."""
    if len(key_path) > 1 and key_path[-1] == GetAttrKey("value"):
        key_path = key_path[:-1]
    return keystr(key_path, simple=True, separator="/")


def is_prunable_array(leaf: Any) -> bool:
    """Whether the leaf is an array of real floating-point numbers, and not a scalar."""
    is_array = hasattr(leaf, "dtype") and hasattr(leaf, "shape")
    return is_array and jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.ndim >= 1


def matching(name: str, pattern: str, paths: Sequence[str]) -> set[str]:
    """The paths that an expression takes: the one that it is, or else those it is found in.

    Raises:
      ValueError: it takes none, or is malformed.
    """
    if pattern in paths:
        return {pattern}
    try:
        taken = {path for path in paths if re.search(pattern, path)}
    except (re.error, TypeError):
        raise ValueError(f"{name}: {shown(pattern)}; allowed: regular expressions") from None
    if not taken:
        raise ValueError(f"{name}: {pattern!r} matches no leaf; allowed: {', '.join(paths)}")
    return taken


def _matching_any(name: str, patterns: Sequence[str], paths: Sequence[str]) -> set[str]:
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        raise ValueError(f"{name}: {shown(patterns)}; allowed: a list of expressions")
    return set().union(*(matching(name, pattern, paths) for pattern in patterns))


def _predicate(prunable: Prunable, paths: list[str]) -> Callable[[str, Any], bool]:
    if prunable is None:
        return _is_kernel
    if callable(prunable):
        return lambda path, _: bool(prunable(path))
    taken = _matching_any("prunable", prunable, paths)
    return lambda path, _: path in taken


def _is_kernel(path: str, leaf: Any) -> bool:
    named_otherwise = any(_NOT_KERNELS.search(part) for part in path.split("/"))
    return is_prunable_array(leaf) and leaf.ndim >= 2 and not named_otherwise


def _require_masks(masks: PyTree) -> None:
    if not jax.tree.leaves(masks):
        raise ValueError(f"masks: {shown(masks)}; allowed: a tree of bools")
    for path, mask in named_leaves(masks):
        if not _is_mask(mask):
            raise ValueError(f"masks: {path} is {_kind(mask)}; allowed: bool")


def _is_mask(leaf: Any) -> bool:
    return isinstance(leaf, bool) or (hasattr(leaf, "shape") and leaf.dtype == bool)


def _kind(leaf: Any) -> str:
    return f"{leaf.dtype} {leaf.shape}" if hasattr(leaf, "dtype") else type(leaf).__name__


def _difference(tree: PyTree, masks: PyTree) -> str:
    """The first path that only one of the two has, if any."""
    ours, theirs = ([path for path, _ in named_leaves(each)] for each in (tree, masks))
    missing = [path for path in ours if path not in theirs]
    surplus = [path for path in theirs if path not in ours]
    if missing:
        return f", without {missing[0]}"
    return f", with {surplus[0]}" if surplus else ""
