"""A criterion of your own: from the weights to a score for each, of which the lowest are pruned.

    python -m experiments.run --config=examples/own/criterion.py --workdir=runs/own_criterion

`pruning.criterion` is where to import the function from. It is traced by jit.
"""

import jax
import jax.numpy as jnp

from silo_jax.base_config import base_config


def by_neuron(params):
    """|w| over the mean |w| of all weights into the same unit."""

    def scores(weight):
        size = jnp.abs(weight)
        return size / (size.mean(axis=tuple(range(weight.ndim - 1)), keepdims=True) + 1e-12)

    return jax.tree.map(scores, params)


def get_config():
    config = base_config()
    config.pruning.criterion = "examples.own.criterion:by_neuron"
    config.pruning.num_cycles = 4
    return config
