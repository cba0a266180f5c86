"""Residual networks of four stages: ResNet-18 and ResNet-50, for ImageNet and for small images."""

from typing import ClassVar

import jax
from flax import linen as nn

from silo_jax.checks import require_choice, shown
from silo_jax.models.layers import (
    Activation,
    batch_norm,
    he_conv,
    max_pool,
    require_activation,
    require_dtype,
    require_norm,
)
from silo_jax.models.resnet_cifar import ResidualBlock

STEMS = ("imagenet", "cifar")
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class ResNet(nn.Module):
    """ResNet-18 or ResNet-50 with projection shortcuts where a block changes the shape.

    ResNet-18 has 11 689 512 parameters and ResNet-50 25 557 032 (1000 classes); ResNet-18 with the
    small stem has 11 173 962 (10 classes). ResNet-50 is of the form known as v1.5, in which a
    bottleneck's stride is that of its 3×3 convolution; the paper's own has it in the first 1×1.
    Convolutions have no bias; He normal initialisation; BatchNorm momentum 0.9. Pruned are the
    kernels of all convolutions and of the dense layer.

    Attributes:
      num_classes: size of the output.
      depth: 18 or 50.
      stem: "imagenet" begins with a 7×7 convolution of stride 2 and 3×3 max pooling of stride 2,
        "cifar" with a 3×3 convolution alone.
      activation: of the hidden units, "relu", "gelu" or "tanh".
      norm: "batch" for BatchNorm, or "none".
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.

    References:
      He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385,
      table 1. v1.5: Goyal et al., "Accurate, Large Minibatch SGD", 2017, arXiv:1706.02677.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    depth: int = 50
    stem: str = "imagenet"
    activation: str = "relu"
    norm: str = "batch"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.depth not in tuple(BLOCKS):
            raise ValueError(f"model.depth: {shown(self.depth)}; allowed: 18, 50")
        require_choice("model.stem", self.stem, STEMS)
        require_activation(self.activation)
        require_norm(self.norm)
        require_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        kind = (self.activation, self.norm, self.dtype)
        size, strides = (7, 2) if self.stem == "imagenet" else (3, 1)
        x = he_conv(64, size, strides=strides, dtype=self.dtype)(images)
        x = Activation(self.activation)(batch_norm(train, self.dtype, self.norm)()(x))
        if self.stem == "imagenet":
            x = max_pool(x, 3, strides=2, padding=1)
        for stage, num_blocks in enumerate(BLOCKS[self.depth]):
            for block in range(num_blocks):
                channels, strides = 64 * 2**stage, 2 if stage > 0 and block == 0 else 1
                if self.depth == 18:
                    x = ResidualBlock(channels, strides, "projection", *kind)(x, train)
                else:
                    x = Bottleneck(channels, strides, *kind)(x, train)
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.he_normal())(x.mean((1, 2)))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, the last to four times the channels, and a shortcut."""

    channels: int
    strides: int
    activation: str
    norm: str
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm = batch_norm(train, self.dtype, self.norm)
        y = Activation(self.activation)(norm()(he_conv(self.channels, 1, dtype=self.dtype)(x)))
        y = Activation(self.activation)(
            norm()(he_conv(self.channels, strides=self.strides, dtype=self.dtype)(y))
        )
        y = norm()(he_conv(4 * self.channels, 1, dtype=self.dtype)(y))
        if x.shape != y.shape:
            project = he_conv(
                4 * self.channels, 1, strides=self.strides, dtype=self.dtype, name="conv_shortcut"
            )
            x = norm(name="norm_shortcut")(project(x))
        return Activation(self.activation)(x + y)
