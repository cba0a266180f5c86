"""MobileNetV2, for ImageNet and for small images."""

from typing import ClassVar

import jax
from flax import linen as nn

from silo_jax.checks import require_choice
from silo_jax.models.layers import Activation, batch_norm, he_conv, require_dtype

STEMS = ("imagenet", "cifar")
# Expansion, channels, number of blocks and stride of each group: table 2 of the paper.
_GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(nn.Module):
    """Inverted residual blocks around depthwise convolutions, with ReLU6.

    It has 3 504 872 parameters with 1000 classes and 2 236 682 with 10, whichever the stem. A
    widespread version for CIFAR-10 has 60 240 more: it adds projection shortcuts where the channels
    change, and expands the first block's channels by a factor of 1. Convolutions have no bias; He
    normal initialisation, the dense kernel normal of deviation 0.01; BatchNorm momentum 0.9; no
    dropout. Pruned are the kernels of all convolutions, depthwise ones too, and of the dense layer.

    Attributes:
      num_classes: size of the output.
      stem: "imagenet" has the paper's strides; "cifar" has stride 1 in the first convolution and in
        the group of 24 channels, so that 32×32 images end as 4×4.
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.

    References:
      Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
      arXiv:1801.04381.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    stem: str = "imagenet"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        require_choice("model.stem", self.stem, STEMS)
        require_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        norm, is_small = batch_norm(train, self.dtype), self.stem == "cifar"
        x = he_conv(32, strides=1 if is_small else 2, dtype=self.dtype)(images)
        x = Activation("relu6")(norm()(x))
        for expansion, channels, num_blocks, group_strides in _GROUPS:
            for block in range(num_blocks):
                keeps_side = block > 0 or (is_small and channels == 24)
                strides = 1 if keeps_side else group_strides
                x = InvertedResidual(channels, expansion, strides, self.dtype)(x, train)
        x = Activation("relu6")(norm()(he_conv(1280, 1, dtype=self.dtype)(x))).mean((1, 2))
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.01))(x)


class InvertedResidual(nn.Module):
    """1×1 expansion, 3×3 depthwise convolution and 1×1 projection; a shortcut if shapes agree."""

    channels: int
    expansion: int
    strides: int
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm, wide = batch_norm(train, self.dtype), self.expansion * x.shape[-1]
        y = x
        if self.expansion > 1:
            y = Activation("relu6")(norm()(he_conv(wide, 1, dtype=self.dtype)(y)))
        depthwise = he_conv(wide, strides=self.strides, groups=wide, dtype=self.dtype)
        y = Activation("relu6")(norm()(depthwise(y)))
        y = norm()(he_conv(self.channels, 1, dtype=self.dtype)(y))
        return x + y if x.shape == y.shape else y
