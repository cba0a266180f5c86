"""N:M sparsity: of every m consecutive inputs of a unit at most n keep their weight."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from silo_jax.checks import require_int
from silo_jax.pruning.checked import (
    check_nan,
    check_scores,
    check_trees,
    criterion_function,
    require_axis,
)
from silo_jax.pruning.masks import named_leaves
from silo_jax.pruning.selection import ordered_key

PyTree = Any


def prune_n_m(
    params: PyTree,
    masks: PyTree,
    n: int,
    m: int,
    *,
    criterion: str | Callable[[PyTree], PyTree] = "magnitude",
    input_axis: int = -2,
) -> PyTree:
    """Keeps the n highest scores in every block of m consecutive weights along the inputs.

    The patterns that sparse hardware multiplies at full speed: 2:4, 1:4, 4:8, …. A weight that is
    pruned already stays so, and a block with fewer than n living weights keeps those it has. Of
    equal scores the one of the lower index goes first, as in `prune`.

    Args:
      params: tree of weights.
      masks: bool tree of the structure of ``params`` (see `init_masks`).
      n: how many weights of a block stay at most, in [1, m).
      m: the size of a block, at least 2.
      criterion: "magnitude", or a function from ``params`` to a tree of scores of the same
        structure and shapes; the lowest are pruned.
      input_axis: the axis of a kernel that holds its inputs: -2 for Flax and Haiku, dense kernels
        (in, out) and convolutions (…, in, out); 1 for equinox and PyTorch, (out, in, …).

    Returns:
      Masks of the same structure, nested in the old ones: none comes back.

    Raises:
      ValueError: n, m, the criterion or the axis is not allowed; a prunable leaf has no such axis,
        or one that m does not divide (exempt it in `init_masks`); masks that do not fit the
        weights; scores that are NaN (when concrete; traced NaNs rank above every number).

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import init_masks, prune_n_m
      >>> params = {"kernel": jnp.array([[3.0], [-1.0], [0.5], [2.0]])}
      >>> prune_n_m(params, init_masks(params), 2, 4)["kernel"].ravel().tolist()
      [True, False, False, True]

    References:
      Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, arXiv:2104.08378.
    """
    require_int("m", m, minimum=2)
    require_int("n", n, minimum=1)
    if n >= m:
        raise ValueError(f"n: {n}; allowed: less than m = {m}")
    require_axis("input_axis", input_axis)
    criterion = criterion_function(criterion)
    check_trees(params, masks)
    masks = jax.tree.map(jnp.asarray, masks)
    for path, mask in named_leaves(masks):
        if mask.ndim:
            _check_blocks(path, mask.shape, m, input_axis)
    scores = criterion(params)
    check_scores(scores, masks)
    check_nan(scores, masks)
    return jax.tree.map(
        lambda score, mask: _prune_leaf(score, mask, n, m, input_axis) if mask.ndim else mask,
        scores,
        masks,
    )


def _check_blocks(path: str, shape: tuple[int, ...], m: int, axis: int) -> None:
    way_out = f"or {path} exempt in init_masks"
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"input_axis: {axis}, but {path} is {shape}; allowed: its axes, {way_out}")
    if shape[axis] % m:
        raise ValueError(
            f"m: {m}, but {path} has {shape[axis]} inputs; allowed: a divisor of them, {way_out}"
        )


@partial(jax.jit, static_argnames=("m", "axis"))
def _prune_leaf(score: jax.Array, mask: jax.Array, n: int, m: int, axis: int) -> jax.Array:
    axis %= mask.ndim
    blocked = (*mask.shape[:axis], mask.shape[axis] // m, m, *mask.shape[axis + 1 :])
    key, alive = ordered_key(score).reshape(blocked), mask.reshape(blocked)
    index = jax.lax.broadcasted_iota(jnp.int32, blocked, axis + 1)

    num_better = jnp.zeros(blocked, jnp.int32)
    for i in range(m):
        rival = jax.lax.slice_in_dim(key, i, i + 1, axis=axis + 1)
        rival_alive = jax.lax.slice_in_dim(alive, i, i + 1, axis=axis + 1)
        is_better = rival_alive & ((rival > key) | ((rival == key) & (i > index)))
        num_better += is_better.astype(jnp.int32)
    return (alive & (num_better < n)).reshape(mask.shape)
