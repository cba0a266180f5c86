"""VGG-16 and VGG-19 with BatchNorm."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
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
    require_side,
)

HEADS = ("cifar", "imagenet")
CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
POOLED_SIDE = 7


class VGG(nn.Module):
    """Five groups of 3×3 convolutions with BatchNorm, each followed by 2×2 max pooling.

    With the small head and 10 classes VGG-16 has 14 728 266 parameters and VGG-19 20 040 522; with
    the large head VGG-19 has 139 622 218, of which 119 586 826 are in dense layers. Convolutions
    have a bias, as in the common implementations, although BatchNorm takes it away again: in
    training its gradient is 0. He normal initialisation of the convolutions, dense kernels normal
    of deviation 0.01, biases 0; BatchNorm momentum 0.9. Pruned are the kernels of all convolutions
    and dense layers.

    Attributes:
      num_classes: size of the output.
      depth: 16 or 19.
      head: "cifar" is one dense layer on the mean of each channel; "imagenet" averages to 7×7
        pixels (on 32×32 images the one pixel left is repeated) and has hidden layers of 4096 and
        4096, each with dropout of one half in training.
      activation: of the hidden units, "relu", "gelu" or "tanh".
      norm: "batch" for BatchNorm, or "none".
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.

    Raises:
      ValueError: on a call, images too small to leave a pixel after the last pooling.

    References:
      Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
      ICLR 2015, arXiv:1409.1556, table 1, columns D and E.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    depth: int = 16
    head: str = "cifar"
    activation: str = "relu"
    norm: str = "batch"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.depth not in tuple(CONVOLUTIONS):
            raise ValueError(f"model.depth: {shown(self.depth)}; allowed: 16, 19")
        require_choice("model.head", self.head, HEADS)
        require_activation(self.activation)
        require_norm(self.norm)
        require_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        require_side(f"vgg{self.depth}", images, 32)
        norm, normal = batch_norm(train, self.dtype, self.norm), nn.initializers.normal(0.01)
        x = images
        for group, num_convolutions in enumerate(CONVOLUTIONS[self.depth]):
            for _ in range(num_convolutions):
                channels = min(64 * 2**group, 512)
                x = Activation(self.activation)(
                    norm()(he_conv(channels, use_bias=True, dtype=self.dtype)(x))
                )
            x = max_pool(x, 2, strides=2)
        if self.head == "cifar":
            x = x.mean((1, 2))
        else:
            x = mean_pool_to(POOLED_SIDE, x).reshape(x.shape[0], -1)
            for _ in range(2):
                x = Activation(self.activation)(
                    nn.Dense(4096, kernel_init=normal, dtype=self.dtype)(x)
                )
                x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(self.num_classes, kernel_init=normal)(x)


def mean_pool_to(side: int, images: jax.Array) -> jax.Array:
    """Means over a grid of side × side windows that cover the image, overlapping if they must."""
    rows, columns = (jnp.asarray(_windows(side, s), images.dtype) for s in images.shape[1:3])
    return jnp.einsum("ih,jw,nhwc->nijc", rows, columns, images)


def _windows(count: int, size: int) -> np.ndarray:
    """The shares of ``size`` pixels in the means over ``count`` windows: (count, size).

    Window i goes from ⌊i · size / count⌋ to ⌈(i + 1) · size / count⌉.
    """
    pixel, window = np.arange(size), np.arange(count)[:, None]
    inside = (window * size // count <= pixel) & (pixel < -(-(window + 1) * size // count))
    return inside / inside.sum(1, keepdims=True)
