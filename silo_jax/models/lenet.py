"""Small networks for grey images: multilayer perceptrons and LeNet-5."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from silo_jax.checks import require_int
from silo_jax.models.conv import Conv


class MLP(nn.Module):
    """Fully connected network with ReLU; hidden layers of 300 and 100 make LeNet-300-100.

    LeNet-300-100 has 266 610 parameters on 28×28 images. Kernels: Glorot normal, biases 0, as in
    Frankle & Carbin 2019 (arXiv:1803.03635).

    Attributes:
      num_classes: size of the output.
      hidden: widths of the hidden layers.
    """

    num_classes: int
    hidden: Sequence[int] = (300, 100)

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, Sequence) or not self.hidden:
            raise ValueError(f"model.hidden: {self.hidden!r}; allowed: widths, at least one")
        for width in self.hidden:
            require_int("model.hidden", width, minimum=1)
        self.hidden = tuple(self.hidden)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = images.reshape(images.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, kernel_init=nn.initializers.glorot_normal())(x))
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.glorot_normal())(x)


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling; 61 706 parameters on 28×28×1 images and 10 classes.

    Convolutions of 6 (5×5, padded) and 16 (5×5) channels, each followed by 2×2 pooling, then layers
    of 120 and 84. A variant of LeCun et al., "Gradient-Based Learning Applied to Document
    Recognition", 1998, which has tanh units, mean pooling and sparse connections.

    Attributes:
      num_classes: size of the output.

    Raises:
      ValueError: on a call, images too small to leave a pixel after the second pooling.
    """

    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        height, width = images.shape[1:3]
        if min(height, width) < 12:
            raise ValueError(f"images for lenet5: {height}×{width}; allowed: at least 12×12")
        x = nn.relu(Conv(6, (5, 5), padding=2)(images))
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(Conv(16, (5, 5))(x))
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape(x.shape[0], -1)
        for width in (120, 84):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.num_classes)(x)
