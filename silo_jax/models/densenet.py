"""Densely connected networks for 32×32 images: DenseNet-40, DenseNet-BC-100 and their like."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from silo_jax.checks import require_int
from silo_jax.models.layers import Activation, batch_norm, he_conv, require_dtype, require_side


class DenseNet(nn.Module):
    """Three blocks in which every layer sees all layers before it.

    DenseNet-40 has 1 019 722 parameters and DenseNet-BC-100 769 162, both with growth 12 and 10
    classes. Convolutions have no bias; He normal initialisation; BatchNorm momentum 0.9; no
    dropout, as in the paper where images are augmented. Pruned are the kernels of all convolutions
    and of the dense layer.

    Attributes:
      num_classes: size of the output.
      depth: 3n + 4, or 6n + 4 with bottlenecks: 40, 100, ….
      growth: channels that a layer adds.
      bottleneck: whether a 1×1 convolution to four times the growth precedes each 3×3 one and half
        the channels are left between blocks (DenseNet-BC), or neither.
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.

    Raises:
      ValueError: on a call, images too small to leave a pixel after the second pooling.

    References:
      Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, arXiv:1608.06993.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    depth: int = 40
    growth: int = 12
    bottleneck: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        step = 6 if self.bottleneck else 3
        require_int("model.depth", self.depth, minimum=4 + step)
        if self.depth % step != 4 % step:
            raise ValueError(f"model.depth: {self.depth}; allowed: {step}n + 4")
        require_int("model.growth", self.growth, minimum=1)
        require_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        require_side("densenet", images, 4)
        norm = batch_norm(train, self.dtype)
        layers_per_block = (self.depth - 4) // (6 if self.bottleneck else 3)
        x = he_conv(2 * self.growth if self.bottleneck else 16, dtype=self.dtype)(images)
        for block in range(3):
            if block > 0:
                channels = x.shape[-1] // 2 if self.bottleneck else x.shape[-1]
                x = he_conv(channels, 1, dtype=self.dtype)(Activation()(norm()(x)))
                x = nn.avg_pool(x, (2, 2), strides=(2, 2))
            for _ in range(layers_per_block):
                x = DenseLayer(self.growth, self.bottleneck, self.dtype)(x, train)
        x = Activation()(norm()(x)).mean((1, 2))
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.he_normal())(x)


class DenseLayer(nn.Module):
    """BatchNorm, ReLU and a 3×3 convolution, the outcome of which is put beside what came in."""

    growth: int
    bottleneck: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm = batch_norm(train, self.dtype)
        y = Activation()(norm()(x))
        if self.bottleneck:
            y = Activation()(norm()(he_conv(4 * self.growth, 1, dtype=self.dtype)(y)))
        return jnp.concatenate([x, he_conv(self.growth, dtype=self.dtype)(y)], axis=-1)
