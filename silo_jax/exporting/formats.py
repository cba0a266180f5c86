"""The formats by name; an export is loaded again and compared before it counts as done."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from silo_jax.checks import require_choice
from silo_jax.exporting import bcoo, dense, pytorch, sparse, stablehlo
from silo_jax.exporting.network import TrainedNetwork

# How far logits may differ, as a share of the largest one: what another order of sums does, or
# another precision, as not every format keeps that of the computation.
TOLERANCES = {"float32": 1e-4, "bfloat16": 3e-2}
_NUM_IMAGES = 16


class Format(NamedTuple):
    """How a network is written, and its logits found from the file alone."""

    suffix: str
    write: Callable[[TrainedNetwork, Path], None]
    read_logits: Callable[[Path, ArrayLike], jax.Array]


class Export(NamedTuple):
    """A file that gives the same logits.

    Attributes:
      path: of the file.
      num_bytes: its size.
      difference: the largest difference of a logit.
      largest: the largest logit's size.
    """

    path: Path
    num_bytes: int
    difference: float
    largest: float


FORMATS = {
    "dense": Format("dense.safetensors", dense.write, dense.read_logits),
    "sparse": Format("sparse.safetensors", sparse.write, sparse.read_logits),
    "bcoo": Format("bcoo.safetensors", bcoo.write, bcoo.read_logits),
    "stablehlo": Format("stablehlo", stablehlo.write, stablehlo.read_logits),
    "torch": Format("torch.safetensors", pytorch.write, pytorch.read_logits),
}


def export_network(
    network: TrainedNetwork, name: str, stem: Path, reference: TrainedNetwork | None = None
) -> Export:
    """Writes a network, loads the file again, and compares its logits on random images.

    Args:
      network: from `silo_jax.load`, or made of it by `silo_jax.exporting.shrink.shrink`.
      name: a key of ``FORMATS``.
      stem: path of the file but for its suffix.
      reference: whose logits they have to be; by default the network's own.

    Raises:
      ValueError: the name is unknown, or the network is of a family that cannot be written so.
      OSError: the file cannot be written.
      RuntimeError: the logits differ; the file is removed.
    """
    require_choice("format", name, FORMATS)
    chosen = FORMATS[name]
    path = stem.with_name(f"{stem.name}.{chosen.suffix}")
    chosen.write(network, path)
    shape = (_NUM_IMAGES, *network.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = np.asarray((reference or network).logits(images))
    difference = float(np.max(np.abs(np.asarray(chosen.read_logits(path, images)) - expected)))
    largest = float(np.max(np.abs(expected)))
    if not difference <= TOLERANCES[network.model.dtype] * max(largest, 1e-3):
        path.unlink()
        raise RuntimeError(
            f"{path}: its logits differ by {difference:.2g}, the largest is {largest:.2g}; removed"
        )
    return Export(path, path.stat().st_size, difference, largest)


def dense_bytes(network: TrainedNetwork) -> int:
    """The bytes of the variables, dense."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(network.variables))
