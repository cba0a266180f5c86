"""What an exported file says about its network, so that the file alone is enough to use it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from silo_jax.exporting.network import TrainedNetwork
from silo_jax.exporting.sequential import Sequential
from silo_jax.files import write_atomically
from silo_jax.models import create_model
from silo_jax.pruning.masks import named_leaves

KEY = "silo_jax"

Arrays = Mapping[str, np.ndarray]
PyTree = Any


def describe(network: TrainedNetwork) -> dict[str, Any]:
    """The network without its weights, as JSON holds it."""
    if isinstance(network.model, Sequential):
        model: dict[str, Any] = {"steps": network.model.steps, "dtype": network.model.dtype}
    else:
        of_training = ("checkpoint", "new_head")
        model = {k: v for k, v in network.config.model.items() if k not in of_training}
    return {
        "model": model,
        "num_classes": network.model.num_classes,
        "image_shape": network.image_shape,
        "mean": network.mean,
        "std": network.std,
        "seed": network.seed,
        "cycle": network.cycle,
        "density": network.density,
    }


def model_of(description: Mapping[str, Any]) -> nn.Module:
    """The linen module that a file's network is of."""
    model = description["model"]
    if "steps" in model:
        steps = tuple(tuple(step) for step in model["steps"])
        return Sequential(description["num_classes"], steps, model["dtype"])
    return create_model(num_classes=description["num_classes"], **model)


def write_arrays(path: Path, arrays: Arrays, description: Mapping[str, Any]) -> None:
    """Writes arrays and the description of their network as safetensors.

    Raises:
      OSError: the file cannot be written; one line.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, save(contiguous, {KEY: json.dumps(description)}))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of such a file, and the description.

    Raises:
      ValueError: it is none; one line.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, json.loads((file.metadata() or {})[KEY])
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path}: is no exported network ({error})") from None


def named_arrays(tree: PyTree) -> dict[str, np.ndarray]:
    """The leaves as NumPy arrays by their paths, such as "params/Dense_0/kernel"."""
    return {path: np.asarray(leaf) for path, leaf in named_leaves(tree)}


def as_tree(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The nested dict whose leaves have these paths."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree
