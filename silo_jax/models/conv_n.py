"""Conv-2, Conv-4 and Conv-6, small convolutional networks for CIFAR-10."""

from typing import ClassVar

import jax
from flax import linen as nn

from silo_jax.checks import shown
from silo_jax.models.conv import Conv
from silo_jax.models.layers import (
    Activation,
    max_pool,
    require_activation,
    require_dtype,
    require_side,
)

_DEPTHS = (2, 4, 6)


class ConvN(nn.Module):
    """Pairs of 3×3 convolutions, each pair followed by 2×2 max pooling; VGG in small.

    Pairs of 64, 128 and 256 channels, then hidden layers of 256 and 256. On 32×32×3 images with 10
    classes Conv-2 has 4 301 642 parameters, Conv-4 2 425 930 and Conv-6 2 262 602. Kernels: Glorot
    normal, biases 0; no BatchNorm. Pruned are the kernels of all convolutions and dense layers.

    Attributes:
      num_classes: size of the output.
      depth: number of convolutions: 2, 4 or 6.
      activation: of the hidden units, "relu", "gelu" or "tanh".
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.

    Raises:
      ValueError: on a call, images too small to leave a pixel after the last pooling.

    References:
      Frankle & Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, arXiv:1803.03635, figure 2.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    depth: int = 2
    activation: str = "relu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.depth not in _DEPTHS:
            raise ValueError(f"model.depth: {shown(self.depth)}; allowed: 2, 4, 6")
        require_activation(self.activation)
        require_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        num_pairs = self.depth // 2
        require_side(f"conv{self.depth}", images, 2**num_pairs)
        glorot, x = nn.initializers.glorot_normal(), images
        for pair in range(num_pairs):
            for _ in range(2):
                channels = 64 * 2**pair
                x = Conv(channels, (3, 3), padding=1, kernel_init=glorot, dtype=self.dtype)(x)
                x = Activation(self.activation)(x)
            x = max_pool(x, 2, strides=2)
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            x = Activation(self.activation)(nn.Dense(256, kernel_init=glorot, dtype=self.dtype)(x))
        return nn.Dense(self.num_classes, kernel_init=glorot)(x)
