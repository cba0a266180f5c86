"""A network of your own.

    python -m experiments.run --config=examples/own/network.py --workdir=runs/own_network

`model.name` is where to import it from; it has to be importable where the command is run.
"""

from typing import ClassVar

import jax
from flax import linen as nn

from silo_jax.base_config import base_config
from silo_jax.models.conv import Conv
from silo_jax.models.layers import Activation


class SmallConvNet(nn.Module):
    """Two convolutions, their mean over the image, and a dense layer."""

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)  # on paths such as "Dense_0/kernel"

    num_classes: int  # comes from the data
    width: int = 16  # an option: config.model.width

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = Activation("relu")(Conv(self.width, (3, 3), padding=1)(images))
        x = Activation("relu")(Conv(2 * self.width, (3, 3), padding=1)(x))
        return nn.Dense(self.num_classes)(x.mean(axis=(1, 2)))


def get_config():
    config = base_config()
    config.model.name = "examples.own.network:SmallConvNet"
    config.model.width = 24
    config.pruning.num_cycles = 4
    return config
