"""Only the weights that are left, and where they were, as safetensors.

The reader, `silo_jax.exporting.read_sparse`, is a page that needs numpy and safetensors alone; a
copy of it is put beside each file.
"""

import math
from pathlib import Path

import jax
import numpy as np
from jax.typing import ArrayLike

from silo_jax.exporting import read_sparse
from silo_jax.exporting.description import (
    as_tree,
    describe,
    model_of,
    named_arrays,
    read_arrays,
    write_arrays,
)
from silo_jax.exporting.network import TrainedNetwork, logits
from silo_jax.files import write_atomically


def write(network: TrainedNetwork, path: Path) -> None:
    """Writes values and their places: as a mask of bits or as indices, whichever is smaller."""
    masks = named_arrays({"params": network.masks})
    arrays, shapes = {}, {}
    for name, leaf in named_arrays(network.variables).items():
        mask = masks.get(name, np.array(True))
        if mask.ndim == 0:
            arrays[name] = leaf
            continue
        shapes[name] = leaf.shape
        arrays[f"{name}.values"] = leaf[mask]
        kind, places = _places(mask)
        arrays[f"{name}.{kind}"] = places
    write_arrays(path, arrays, describe(network) | {"shapes": shapes})
    reader = Path(read_sparse.__file__)
    write_atomically(path.with_name(reader.name), reader.read_bytes())


def read_logits(path: Path, images: ArrayLike) -> jax.Array:
    """The logits of raw images, from the file alone."""
    weights, _ = read_sparse.read_sparse(path)
    _, told = read_arrays(path)
    return logits(model_of(told), told["mean"], told["std"], as_tree(weights), images)


def _places(mask: np.ndarray) -> tuple[str, np.ndarray]:
    bits = np.packbits(mask)
    indices = np.flatnonzero(mask).astype(_index_type(math.prod(mask.shape)))
    return ("indices", indices) if indices.nbytes < bits.nbytes else ("bits", bits)


def _index_type(size: int) -> type[np.unsignedinteger]:
    return np.uint16 if size <= 2**16 else np.uint32 if size <= 2**32 else np.uint64
