"""Reads a sparse export of SILO-JAX. It needs numpy and safetensors alone, and may be copied.

    python read_sparse.py FILE

A weight array that was pruned is stored in two: NAME.values, those that are left in C order; and
either NAME.bits, a mask with a bit a weight (the first one is the highest bit of the first byte),
or NAME.indices, the places in the flattened array. Its shape stands in the metadata. Whatever was
not pruned (biases, BatchNorm) is stored as it is. Kernels are (…, in, out).
"""

import json
import math
import sys
from os import PathLike

import numpy as np
from safetensors import safe_open

Arrays = dict[str, np.ndarray]


def read_sparse(path: str | PathLike[str]) -> tuple[Arrays, Arrays]:
    """The weights with zeros where they are pruned, and bool masks of those that were, by name."""
    with safe_open(path, framework="numpy") as file:
        shapes = json.loads(file.metadata()["silo_jax"])["shapes"]
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    masks = {}
    for name, shape in shapes.items():
        values = weights.pop(f"{name}.values")
        size = math.prod(shape)
        if f"{name}.bits" in weights:
            mask = np.unpackbits(weights.pop(f"{name}.bits"), count=size).astype(bool)
        else:
            mask = np.zeros(size, bool)
            mask[weights.pop(f"{name}.indices")] = True
        dense = np.zeros(size, values.dtype)
        dense[mask] = values
        weights[name], masks[name] = dense.reshape(shape), mask.reshape(shape)
    return weights, masks


if __name__ == "__main__":
    for name, mask in read_sparse(sys.argv[1])[1].items():
        print(f"{name}  {mask.shape}  {mask.sum()} of {mask.size} left")
