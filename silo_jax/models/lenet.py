"""Small networks for grey images: multilayer perceptrons and LeNet-5."""

from collections.abc import Sequence
from typing import ClassVar

import jax
from flax import linen as nn

from silo_jax.checks import require_int
from silo_jax.models.conv import Conv
from silo_jax.models.layers import (
    Activation,
    max_pool,
    require_activation,
    require_dtype,
    require_side,
)


class MLP(nn.Module):
    """Fully connected network with ReLU; hidden layers of 300 and 100 make LeNet-300-100.

    LeNet-300-100 has 266 610 parameters on 28×28 images. Kernels: Glorot normal, biases 0, as in
    Frankle & Carbin 2019 (arXiv:1803.03635). Pruned are the kernels of all layers.

    Attributes:
      num_classes: size of the output.
      hidden: widths of the hidden layers.
      activation: of the hidden units, "relu", "gelu" or "tanh".
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    hidden: Sequence[int] = (300, 100)
    activation: str = "relu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, Sequence) or not self.hidden:
            raise ValueError(f"model.hidden: {self.hidden!r}; allowed: widths, at least one")
        for width in self.hidden:
            require_int("model.hidden", width, minimum=1)
        self.hidden = tuple(self.hidden)
        require_activation(self.activation)
        require_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        glorot, x = nn.initializers.glorot_normal(), images.reshape(images.shape[0], -1)
        for width in self.hidden:
            x = Activation(self.activation)(
                nn.Dense(width, kernel_init=glorot, dtype=self.dtype)(x)
            )
        return nn.Dense(self.num_classes, kernel_init=glorot)(x)


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling; 61 706 parameters on 28×28×1 images and 10 classes.

    Convolutions of 6 (5×5, padded) and 16 (5×5) channels, each followed by 2×2 pooling, then layers
    of 120 and 84. A variant of LeCun et al., "Gradient-Based Learning Applied to Document
    Recognition", 1998, which has tanh units, mean pooling and sparse connections.

    Kernels: LeCun normal, biases 0. Pruned are the kernels of all layers.

    Attributes:
      num_classes: size of the output.
      activation: of the hidden units, "relu", "gelu" or "tanh".
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.

    Raises:
      ValueError: on a call, images too small to leave a pixel after the second pooling.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    activation: str = "relu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        require_activation(self.activation)
        require_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        require_side("lenet5", images, 12)
        x = Activation(self.activation)(Conv(6, (5, 5), padding=2, dtype=self.dtype)(images))
        x = max_pool(x, 2, strides=2)
        x = Activation(self.activation)(Conv(16, (5, 5), dtype=self.dtype)(x))
        x = max_pool(x, 2, strides=2)
        x = x.reshape(x.shape[0], -1)
        for width in (120, 84):
            x = Activation(self.activation)(nn.Dense(width, dtype=self.dtype)(x))
        return nn.Dense(self.num_classes)(x)
