"""Criteria: functions from trees to a tree of scores; the lowest scores are pruned first.

`prune` calls a criterion with the weights alone; what else one needs comes in by a closure::

    masks = prune(params, masks, 0.2, criterion=lambda params: movement(params, reference))

Scores have the structure and shapes of ``params``, whatever kind of tree it is. Those of more than
one factor are formed in float32 where the weights are of half precision, whose range a product
leaves easily. A leaf that holds no weights (a function, an integer, a scalar) comes back as it is.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_map_with_path

from silo_jax.checks import shown
from silo_jax.pruning.chains import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    connection,
    kernels_of,
    widened,
)
from silo_jax.pruning.masks import is_prunable_array, named_leaves, path_name, require_arrays

PyTree = Any
Criterion = Callable[[PyTree], PyTree]


def magnitude(params: PyTree) -> PyTree:
    """``|w|``: the smallest weights go first.

    Args:
      params: tree of weights.

    Returns:
      Tree of scores, of the weights' own types.

    Raises:
      ValueError: params hold no array; so do all criteria.

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import criteria
      >>> criteria.magnitude({"kernel": jnp.array([3.0, -1.0])})["kernel"].tolist()
      [3.0, 1.0]

    References:
      Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS
      2015, arXiv:1506.02626.
    """
    require_arrays("params", params)
    return jax.tree.map(lambda leaf: jnp.abs(leaf) if is_prunable_array(leaf) else leaf, params)


CRITERIA: dict[str, Criterion] = {"magnitude": magnitude}

# Criteria that look at more than the weights, and at what.
NEED_MORE = {
    "movement": "reference",
    "magnitude_movement": "reference",
    "saliency": "gradients",
    "lookahead": "chains",
    "random": "key",
}


def movement(params: PyTree, reference: PyTree) -> PyTree:
    """``|w − w_reference|``: the weights that moved least since then go first.

    Args:
      params: tree of weights.
      reference: the weights at the start of the cycle, or an epoch ago as for the ResNet-20 of the
        SILO paper's code; the structure and shapes of ``params``.

    Returns:
      Tree of scores, float32 or wider.

    Raises:
      ValueError: the reference has another structure or other shapes.

    Example:
      >>> from silo_jax import criteria
      >>> import jax.numpy as jnp
      >>> params, start = {"w": jnp.array([3.0, -1.0])}, {"w": jnp.array([2.5, 1.0])}
      >>> criteria.movement(params, start)["w"].tolist()
      [0.5, 2.0]
    """
    return _of_pairs("reference", params, reference, lambda w, start: jnp.abs(w - start))


def magnitude_movement(params: PyTree, reference: PyTree) -> PyTree:
    """``|w| · |w − w_reference|``, as for the VGG-19 of the SILO paper's code.

    Args:
      params: tree of weights.
      reference: as in `movement`.

    Returns:
      Tree of scores, float32 or wider.

    Raises:
      ValueError: the reference has another structure or other shapes.

    Example:
      >>> from silo_jax import criteria
      >>> import jax.numpy as jnp
      >>> start = {"w": jnp.array([2.5, 1.0])}
      >>> criteria.magnitude_movement({"w": jnp.array([3.0, -1.0])}, start)["w"].tolist()
      [1.5, 2.0]
    """
    return _of_pairs("reference", params, reference, lambda w, start: jnp.abs(w * (w - start)))


def saliency(params: PyTree, gradients: PyTree) -> PyTree:
    """``|w · ∂L/∂w|``: by how much the loss would change without the weight, to first order.

    Args:
      params: tree of weights.
      gradients: of the loss, over a batch or more; the structure and shapes of ``params``.

    Returns:
      Tree of scores, float32 or wider.

    Raises:
      ValueError: the gradients have another structure or other shapes.

    Example:
      >>> from silo_jax import criteria
      >>> import jax.numpy as jnp
      >>> params, gradients = {"w": jnp.array([3.0, -1.0])}, {"w": jnp.array([0.5, 2.0])}
      >>> criteria.saliency(params, gradients)["w"].tolist()
      [1.5, 2.0]

    References:
      Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference",
      ICLR 2017, arXiv:1611.06440; Lee, Ajanthan & Torr, "SNIP", ICLR 2019, arXiv:1810.02340.
    """
    return _of_pairs("gradients", params, gradients, lambda w, gradient: jnp.abs(w * gradient))


def random(params: PyTree, key: jax.Array) -> PyTree:
    """Scores drawn evenly from [0, 1): the control that any criterion has to beat.

    Args:
      params: tree of weights; only its shapes matter.
      key: PRNG key, a fresh one for every pruning; leaf i draws with ``fold_in(key, i)``.

    Returns:
      Tree of scores, float32.

    Raises:
      ValueError: the key is not one PRNG key.

    Example:
      >>> from silo_jax import criteria
      >>> import jax, jax.numpy as jnp
      >>> criteria.random({"w": jnp.ones((2, 3))}, jax.random.key(0))["w"].shape
      (2, 3)
    """
    require_arrays("params", params)
    _require_key(key)
    leaves, structure = jax.tree.flatten(params)
    scores = [
        jax.random.uniform(jax.random.fold_in(key, i), leaf.shape, jnp.float32)
        if is_prunable_array(leaf)
        else leaf
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, scores)


def lookahead(
    params: PyTree, chains: Sequence[Sequence[str]], *, axes: tuple[int, int] = CHANNELS_LAST
) -> PyTree:
    """Magnitudes times the size of what they connect in the layers before and after.

    With w the weight from unit j to unit k of layer i, and the rows of a kernel its inputs:

    .. math:: |w| \\cdot \\|W_{i-1}[:, j]\\|_F \\cdot \\|W_{i+1}[k, :]\\|_F

    where W[:, j] is all that leads into unit j and W[k, :] all that leads out of unit k (of a
    convolution the filters of a channel). It is the change in Frobenius norm that setting w to 0
    makes to the product of the three layers taken as linear maps: exactly so for dense layers and,
    for every pixel, 1×1 convolutions. The first layer of a chain has no factor of a layer before,
    the last none of one after, and leaves of no chain score their magnitude. Normalisation between
    layers is not counted in. Pruned weights are expected to be 0, as `apply_masks` leaves them.

    Args:
      params: tree of weights.
      chains: sequences of paths ("Dense_0/kernel"), each in the order in which data flows from
        layer to layer (see `layer_order`); a path may appear once in all.
      axes: the axes of a kernel's inputs and of its outputs. (-2, -1) for Flax and Haiku, dense
        (in, out) and convolutional (…, in, out); (1, 0) for equinox and PyTorch, (out, in, …).
        Where a dense layer follows a convolution whose features were flattened, each channel has
        several inputs: with (-2, -1) features are taken to be channels last, input i being of
        channel i mod channels, and with (1, 0) channels first, each channel's inputs consecutive.

    Returns:
      Tree of scores; those of the chains float32 or wider.

    Raises:
      ValueError: axes other than these two; a path that is unknown, repeated or not of a kernel;
        neighbours whose sizes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import criteria
      >>> params = {"a": jnp.array([[3.0, 1.0], [4.0, 0.0]]), "b": jnp.array([[1.0], [2.0]])}
      >>> criteria.lookahead(params, [["a", "b"]])["b"].tolist()
      [[5.0], [2.0]]

    References:
      Park, Lee, Mo & Shin, "Lookahead: A Far-sighted Alternative of Magnitude-based Pruning",
      ICLR 2020, arXiv:2002.04809.
    """
    require_arrays("params", params)
    if not np.iterable(axes) or tuple(axes) not in (CHANNELS_LAST, CHANNELS_FIRST):
        raise ValueError(f"axes: {shown(axes)}; allowed: {CHANNELS_LAST} or {CHANNELS_FIRST}")
    kernels = kernels_of(chains, params)
    scores = {path: jnp.abs(kernel) for path, kernel in kernels.items()}
    for chain in chains:
        for before, after in pairwise(chain):
            incoming, outgoing = connection(before, after, kernels, axes)
            scores[before] *= outgoing
            scores[after] *= incoming
    return tree_map_with_path(
        lambda key_path, score: scores.get(path_name(key_path), score), magnitude(params)
    )


def _require_key(key: jax.Array) -> None:
    try:
        jax.random.fold_in(key, 0)
    except (TypeError, ValueError):
        raise ValueError(f"key: {shown(key)}; allowed: one PRNG key") from None


def _of_pairs(
    name: str,
    params: PyTree,
    others: PyTree,
    score: Callable[[jax.Array, jax.Array], jax.Array],
) -> PyTree:
    """Scores of every weight and its partner in a tree that must fit."""
    require_arrays("params", params)
    structure: Any = jax.tree.structure(params)
    try:
        partners = structure.flatten_up_to(others)
    except ValueError:
        raise ValueError(
            f"{name}: a structure other than that of params; allowed: the same tree"
        ) from None

    scores = []
    for (path, leaf), partner in zip(named_leaves(params), partners, strict=True):
        if not is_prunable_array(leaf):
            scores.append(leaf)
            continue
        shape = getattr(partner, "shape", None)
        if shape != leaf.shape:
            raise ValueError(f"{name}: {path} has the shape {shape}; allowed: {leaf.shape}")
        scores.append(score(widened(leaf), widened(partner)))
    return jax.tree.unflatten(structure, scores)
