"""A program for other machines: StableHLO by `jax.export`, weights and normalisation included."""

from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export
from jax.typing import ArrayLike

from silo_jax.exporting.network import TrainedNetwork
from silo_jax.files import write_atomically

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(network: TrainedNetwork, path: Path) -> None:
    """Writes the program from raw images, uint8 (b, height, width, channels), to float32 logits.

    The size b of the batch is left open.

    Raises:
      ValueError: flatbuffers, which `jax.export` needs for files, is not installed; one line.
    """
    (batch_size,) = export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch_size, *network.image_shape), jnp.uint8)
    program = export.export(jax.jit(network.logits), platforms=PLATFORMS)(images)
    try:
        write_atomically(path, bytes(program.serialize()))
    except ImportError:
        raise ValueError(
            "format: 'stablehlo'; allowed: with flatbuffers, pip install flatbuffers"
        ) from None


def read_logits(path: Path, images: ArrayLike) -> jax.Array:
    """The logits of raw images, from the file alone, by two batches of different sizes."""
    program = export.deserialize(bytearray(path.read_bytes()))
    images = jnp.asarray(images)
    return jnp.concatenate([program.call(images[:1]), program.call(images[1:])])
