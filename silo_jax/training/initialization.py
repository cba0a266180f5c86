"""Initialisations other than a network's own."""

from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.nn.initializers import variance_scaling

PyTree = Any

INITIALIZATIONS = ("model", "authors")


def redraw(params: PyTree, rng: jax.Array) -> PyTree:
    r"""Weights drawn as the SILO authors' scripts draw them, whatever the network.

    Kernels from :math:`N(0, 2 / (n_{in} + n_{out}))` (Glorot normal, not truncated), their biases
    from N(0, 1), the scales of BatchNorm from N(1, 0.02²); its biases are 0. Other leaves stay.

    Args:
      params: nested dict of a linen module.
      rng: a key; leaf i draws with ``fold_in(rng, i)``.

    Returns:
      Weights of the same structure, shapes and types.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> params = {"norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)}}
      >>> redraw(params, jax.random.key(0))["norm"]["bias"].tolist()
      [0.0, 0.0]

    References:
      Glorot & Bengio, AISTATS 2010.
    """
    leaves = flatten_dict(params)

    def drawn(path: tuple[str, ...], leaf: jax.Array, key: jax.Array) -> jax.Array:
        of_norm = (*path[:-1], "scale") in leaves
        match path[-1]:
            case "kernel":
                return variance_scaling(1.0, "fan_avg", "normal")(key, leaf.shape, leaf.dtype)
            case "scale":
                return 1 + 0.02 * jax.random.normal(key, leaf.shape, leaf.dtype)
            case "bias" if of_norm:
                return jnp.zeros_like(leaf)
            case "bias":
                return jax.random.normal(key, leaf.shape, leaf.dtype)
            case _:
                return leaf

    return unflatten_dict(
        {
            path: drawn(path, leaf, jax.random.fold_in(rng, i))
            for i, (path, leaf) in enumerate(leaves.items())
        }
    )
