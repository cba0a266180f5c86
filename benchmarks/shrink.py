"""Forward passes of networks half of whose channels are pruned, and of the same made smaller.

    python -m benchmarks.shrink --out=benchmarks/results/shrink.json

Weights, biases and statistics are random; about half of the constants that pruned channels leave
are 0 after the activation. `silo_jax.prune_channels` takes half of the channels of every layer but
the last; `silo_jax.exporting.shrink` takes them out of the arrays.
"""

import argparse
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks.measure import report
from silo_jax import init_masks, layer_order, prune_channels
from silo_jax.exporting.network import TrainedNetwork
from silo_jax.exporting.shrink import measure_speedup, shrink
from silo_jax.models import create_model

NETWORKS = {"lenet_300_100": (28, 28, 1), "conv4": (32, 32, 3), "vgg16": (32, 32, 3)}


def network_of(name: str) -> TrainedNetwork:
    """A network with half of its channels pruned."""
    shape, model = NETWORKS[name], create_model(name, num_classes=10)
    images = jnp.zeros((1, *shape), jnp.float32)
    variables = model.init(jax.random.key(0), images)
    random = np.random.default_rng(0)
    variables = jax.tree_util.tree_map_with_path(partial(_of_random_vectors, random), variables)
    params = variables["params"]
    last = layer_order(lambda params: model.apply({**variables, "params": params}, images), params)
    masks = init_masks(params, model.prunable, exempt=(last[-1],))
    return TrainedNetwork(
        model=model,
        variables=variables,
        masks=prune_channels(params, masks, 0.5),
        config=ConfigDict(),
        seed=0,
        cycle=0,
        image_shape=shape,
        mean=(0.5,) * shape[-1],
        std=(0.25,) * shape[-1],
    )


def _of_random_vectors(random: np.random.Generator, path: Any, leaf: jax.Array) -> jax.Array:
    """The kernels as they are; variances and scales from 0.5 to 1, all else of either sign."""
    if leaf.ndim > 1:
        return leaf
    is_positive = jax.tree_util.keystr(path[-1:], simple=True) in ("scale", "var")
    low = 0.5 if is_positive else -1.0
    return jnp.asarray(random.uniform(low, 1.0, leaf.shape), leaf.dtype)


def measure(name: str, batch_size: int, turns: int) -> dict[str, Any]:
    """A row."""
    network = network_of(name)
    smaller = shrink(network)
    speedup = measure_speedup(network, smaller, batch_size=batch_size, turns=turns)
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(n.variables)) for n in (network, smaller)]
    return {
        "network": name,
        "batch_size": batch_size,
        "share_of_weights": sizes[1] / sizes[0],
        "times_as_fast": speedup.median,
        "its_quartiles": [round(speedup.lower, 3), round(speedup.upper, 3)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=[*NETWORKS], choices=[*NETWORKS])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--out")
    options = parser.parse_args()
    report((measure(n, options.batch_size, options.turns) for n in options.networks), options.out)


if __name__ == "__main__":
    main()
