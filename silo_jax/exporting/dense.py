"""Dense weights, with zeros where they are pruned, as safetensors."""

from pathlib import Path

import jax
from jax.typing import ArrayLike

from silo_jax.exporting.description import (
    as_tree,
    describe,
    model_of,
    named_arrays,
    read_arrays,
    write_arrays,
)
from silo_jax.exporting.network import TrainedNetwork, logits


def write(network: TrainedNetwork, path: Path) -> None:
    """Writes all leaves of the variables by their paths, such as "params/Dense_0/kernel"."""
    write_arrays(path, named_arrays(network.variables), describe(network))


def read_logits(path: Path, images: ArrayLike) -> jax.Array:
    """The logits of raw images, from the file alone."""
    arrays, told = read_arrays(path)
    return logits(model_of(told), told["mean"], told["std"], as_tree(arrays), images)
