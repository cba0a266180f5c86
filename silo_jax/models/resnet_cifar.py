"""Residual networks for 32×32 images: ResNet-20, 32, 56, 110 and their like."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from silo_jax.checks import require_choice, require_int
from silo_jax.models.layers import (
    Activation,
    batch_norm,
    he_conv,
    require_activation,
    require_dtype,
    require_norm,
)

SHORTCUTS = ("identity", "projection")


class ResNetCifar(nn.Module):
    """The 6n + 2 layer network of He et al. 2016, section 4.2: 16, 32 and 64 channels.

    ResNet-20 has 269 722 trainable parameters with identity shortcuts and 272 474 with projections
    (10 classes). Convolutions have no bias; He normal initialisation; BatchNorm momentum 0.9.
    Pruned are the kernels of all convolutions and of the dense layer.

    Attributes:
      num_classes: size of the output.
      depth: 6n + 2: 20, 32, 44, 56, 110, ….
      shortcut: where a block changes the shape: "identity" takes every other pixel and pads the
        channels with zeros (option A of the paper), "projection" is a 1×1 convolution (option B).
      activation: of the hidden units, "relu", "gelu" or "tanh".
      norm: "batch" for BatchNorm, or "none".
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.

    References:
      He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    depth: int = 20
    shortcut: str = "identity"
    activation: str = "relu"
    norm: str = "batch"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        require_int("model.depth", self.depth, minimum=8)
        if self.depth % 6 != 2:
            raise ValueError(f"model.depth: {self.depth}; allowed: 6n + 2, that is 8, 14, 20, …")
        require_choice("model.shortcut", self.shortcut, SHORTCUTS)
        require_activation(self.activation)
        require_norm(self.norm)
        require_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = he_conv(16, dtype=self.dtype)(images)
        x = Activation(self.activation)(batch_norm(train, self.dtype, self.norm)()(x))
        for stage, channels in enumerate((16, 32, 64)):
            for block in range((self.depth - 2) // 6):
                strides = 2 if stage > 0 and block == 0 else 1
                x = ResidualBlock(
                    channels, strides, self.shortcut, self.activation, self.norm, self.dtype
                )(x, train)
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.he_normal())(x.mean((1, 2)))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut around them."""

    channels: int
    strides: int
    shortcut: str
    activation: str = "relu"
    norm: str = "batch"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm = batch_norm(train, self.dtype, self.norm)
        y = he_conv(self.channels, strides=self.strides, dtype=self.dtype)(x)
        y = norm()(he_conv(self.channels, dtype=self.dtype)(Activation(self.activation)(norm()(y))))
        if x.shape == y.shape:
            return Activation(self.activation)(x + y)
        if self.shortcut == "projection":
            project = he_conv(
                self.channels, 1, strides=self.strides, dtype=self.dtype, name="conv_shortcut"
            )
            x = norm(name="norm_shortcut")(project(x))
        else:
            x = x[:, :: self.strides, :: self.strides]
            missing = self.channels - x.shape[-1]
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (missing // 2, missing - missing // 2)))
        return Activation(self.activation)(x + y)
