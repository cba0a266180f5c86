"""Residual networks for 32×32 images: ResNet-20, 32, 56 and their like."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from silo_jax.checks import require_choice, require_int
from silo_jax.models.conv import Conv

SHORTCUTS = ("identity", "projection")


class ResNetCifar(nn.Module):
    """The 6n + 2 layer network of He et al. 2016, section 4.2: 16, 32 and 64 channels.

    ResNet-20 has 269 722 trainable parameters with identity shortcuts and 272 474 with projections
    (10 classes). Convolutions have no bias; He normal initialisation; BatchNorm momentum 0.9.

    Attributes:
      num_classes: size of the output.
      depth: 6n + 2: 20, 32, 44, 56, 110, ….
      shortcut: where a block changes the shape: "identity" takes every other pixel and pads the
        channels with zeros (option A of the paper), "projection" is a 1×1 convolution (option B).

    References:
      He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.
    """

    num_classes: int
    depth: int = 20
    shortcut: str = "identity"

    def __post_init__(self) -> None:
        require_int("model.depth", self.depth, minimum=8)
        if self.depth % 6 != 2:
            raise ValueError(f"model.depth: {self.depth}; allowed: 6n + 2, that is 8, 14, 20, …")
        require_choice("model.shortcut", self.shortcut, SHORTCUTS)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=1e-5)
        x = nn.relu(norm()(_conv(16, strides=1)(images)))
        for stage, channels in enumerate((16, 32, 64)):
            for block in range((self.depth - 2) // 6):
                strides = 2 if stage > 0 and block == 0 else 1
                x = ResidualBlock(channels, strides, self.shortcut)(x, train)
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.he_normal())(x.mean((1, 2)))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut around them."""

    channels: int
    strides: int
    shortcut: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=1e-5)
        y = nn.relu(norm()(_conv(self.channels, self.strides)(x)))
        y = norm()(_conv(self.channels, strides=1)(y))
        if x.shape == y.shape:
            return nn.relu(x + y)
        if self.shortcut == "projection":
            x = norm(name="norm_shortcut")(
                _conv(self.channels, self.strides, size=1, name="conv_shortcut")(x)
            )
        else:
            x = x[:, :: self.strides, :: self.strides]
            missing = self.channels - x.shape[-1]
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (missing // 2, missing - missing // 2)))
        return nn.relu(x + y)


def _conv(channels: int, strides: int, size: int = 3, name: str | None = None) -> Conv:
    return Conv(
        channels,
        (size, size),
        strides=strides,
        padding=size // 2,
        use_bias=False,
        kernel_init=nn.initializers.he_normal(),
        name=name,
    )
