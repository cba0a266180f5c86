"""Widths of the distributions that SILO's argument is about: gradients and representations.

As a network is pruned, the paper argues, the distributions of its gradients and of its hidden
representations grow narrower, so that a larger learning rate is needed for updates of the same
size. Here both are measured on given images, all in one batch, in training mode (BatchNorm
normalises by the batch), without augmentation. That takes the memory of one train step on them.

References:
  Liu et al., TMLR 2023, arXiv:2212.06144.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from numpy.typing import ArrayLike, NDArray

from silo_jax.data import normalize
from silo_jax.pruning import apply_masks
from silo_jax.training.state import TrainState
from silo_jax.training.step import DeviceSplit, Recipe, batch_loss

PyTree = Any

_MOST_UNITS = 2**24
# Rounded, so that they are the same on every machine and short in a file.
_SIZES = [float(f"{size:.5g}") for size in np.logspace(-8, 4, 12 * 16 + 1)]
_EDGES = np.array([*(-size for size in reversed(_SIZES)), 0.0, *_SIZES])


class Spread(NamedTuple):
    """How widely values are spread.

    Attributes:
      num_values: how many there are.
      std: population standard deviation.
      middle_90: distance between the 5th and the 95th percentile.
      mean_size: mean absolute value.
    """

    num_values: int
    std: float
    middle_90: float
    mean_size: float


def spread(values: ArrayLike) -> Spread:
    """The spread of values of any shape; NaN where there is none.

    Example:
      >>> spread([-2.0, -1.0, 1.0, 2.0]).mean_size
      1.5
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    if not flat.size:
        return Spread(0, np.nan, np.nan, np.nan)
    low, high = np.quantile(flat, [0.05, 0.95])
    return Spread(flat.size, float(flat.std()), float(high - low), float(np.abs(flat).mean()))


class Histogram(NamedTuple):
    """Counts of values, without the empty bins.

    Attributes:
      left: lower edges of the bins, which belong to them.
      right: upper edges, which do not.
      counts: how many values are between them.
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    counts: NDArray[np.int64]


def histogram(values: ArrayLike) -> Histogram:
    """How many of the values are how large, in bins that are the same for all.

    The edges are 0 and ±10^(k/16), from 1e-8 to 1e4 in size: about as fine for a wide as for a
    narrow distribution. What is larger is counted in the outermost bins, what is not finite in
    none.

    Example:
      >>> histogram([0.0, 0.0, 0.5, -2.0]).counts
      array([1, 2, 1])
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    flat = np.clip(flat[np.isfinite(flat)], _EDGES[0], _EDGES[-1])
    counts = np.histogram(flat, _EDGES)[0]
    filled = np.flatnonzero(counts)
    return Histogram(_EDGES[filled], _EDGES[filled + 1], counts[filled])


def gradient_width(recipe: Recipe, state: TrainState, batch: DeviceSplit) -> jax.Array:
    """Standard deviation of the loss's gradient over all living prunable weights; float32 scalar.

    Pure, for use within jit; `living_gradients` has the gradients themselves.

    Args:
      recipe: what the train program is made of.
      state: with weights and the masks in force.
      batch: images uint8 (b, height, width, channels) and labels int32 (b,).
    """
    leaves = zip(jax.tree.leaves(_gradients(recipe, state, batch)), _masks(state), strict=True)
    prunable = [(leaf.astype(jnp.float32), mask) for leaf, mask in leaves if mask.ndim]
    count = sum(jnp.sum(mask) for _, mask in prunable)
    mean = sum(jnp.sum(leaf, where=mask) for leaf, mask in prunable) / count
    squares = sum(jnp.sum(jnp.square(leaf - mean), where=mask) for leaf, mask in prunable)
    return jnp.sqrt(squares / count)


def living_gradients(
    recipe: Recipe, state: TrainState, batch: DeviceSplit
) -> dict[str, NDArray[np.float32]]:
    """The loss's gradients with respect to the prunable weights that are left.

    Args:
      recipe: what the train program is made of.
      state: with weights and the masks in force.
      batch: images uint8 (b, height, width, channels) and labels int32 (b,).

    Returns:
      By layer, such as "Dense_0/kernel": a vector with an entry for each weight left.
    """
    gradients = flatten_dict(jax.device_get(_compiled_gradients(recipe, state, batch)), sep="/")
    masks = flatten_dict(jax.device_get(state.masks), sep="/")
    return {layer: gradients[layer][mask] for layer, mask in masks.items() if np.ndim(mask)}


class Representation(NamedTuple):
    """The units of a layer before and after their activation, an entry a unit and image."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]


def representations(
    recipe: Recipe, state: TrainState, batch: DeviceSplit
) -> dict[str, Representation]:
    """What the hidden units hold on a batch, for all modules `silo_jax.models.layers.Activation`.

    The feature maps of a large network do not fit in memory for many images. All images of the
    batch are computed, as BatchNorm needs them; what is returned are all units of the first images,
    as many as make 2^24 values in all layers together, and at least one.

    Args:
      recipe: what the train program is made of.
      state: with weights and the masks in force.
      batch: images uint8 (b, height, width, channels) and labels int32 (b,).

    Returns:
      By activation, such as "ResidualBlock_0/Activation_0", in the order of their names; arrays
      have the images as their first axis, as many for all layers.
    """
    sown = flatten_dict(jax.device_get(_compiled_activations(recipe, state, batch)), sep="/")
    names = [name.removesuffix("/before") for name in sown if name.endswith("/before")]
    return {
        name: Representation(*(sown[f"{name}/{side}"] for side in ("before", "after")))
        for name in names
    }


def _gradients(recipe: Recipe, state: TrainState, batch: DeviceSplit) -> PyTree:
    images = normalize(batch.images, recipe.mean, recipe.std)
    loss_of = partial(
        batch_loss, recipe, state, images=images, labels=batch.labels, dropout_rng=_key(state)
    )
    return jax.grad(loss_of, has_aux=True)(state.params)[0]


def _activations(recipe: Recipe, state: TrainState, batch: DeviceSplit) -> PyTree:
    _, updated = recipe.model.apply(
        state.variables | {"params": apply_masks(state.params, state.masks)},
        normalize(batch.images, recipe.mean, recipe.std),
        train=True,
        mutable=["batch_stats", "activations"],
        rngs={"dropout": _key(state)},
    )
    sown = updated.get("activations", {})
    # What is sown is a tuple with an entry a call; before and after are as large.
    units = sum(leaf.size for leaf in jax.tree.leaves(sown)) // (2 * len(batch.labels))
    num_images = max(1, _MOST_UNITS // max(1, units))
    return jax.tree.map(
        lambda calls: calls[0][:num_images].astype(jnp.float32),
        sown,
        is_leaf=lambda node: isinstance(node, tuple),
    )


_compiled_gradients = jax.jit(_gradients, static_argnums=0)
_compiled_activations = jax.jit(_activations, static_argnums=0)


def _key(state: TrainState) -> jax.Array:
    return jax.random.fold_in(state.rng, 6)


def _masks(state: TrainState) -> list[jax.Array]:
    return jax.tree.leaves(state.masks)
