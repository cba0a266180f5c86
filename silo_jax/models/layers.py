"""What the networks have in common: compute dtypes, convolution, normalisation and pooling.

Weights and BatchNorm's statistics are float32 whatever a network computes in, and so are its
logits: linen's dense layer, when it is given no dtype, computes in that of its weights.
"""

from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from silo_jax.checks import require_choice
from silo_jax.models.conv import Conv

DTYPES = ("float32", "bfloat16")


def require_dtype(dtype: str) -> None:
    """Raises ValueError unless a network can compute in it."""
    require_choice("model.dtype", dtype, DTYPES)


def require_activation(activation: str) -> None:
    """Raises ValueError unless hidden units can have it."""
    require_choice("model.activation", activation, ("relu", "gelu", "tanh"))


def require_norm(norm: str) -> None:
    """Raises ValueError unless a network can be normalised so."""
    require_choice("model.norm", norm, ("batch", "none"))


class Activation(nn.Module):
    """An activation that can be looked into: it has no parameters and costs nothing.

    Where the collection "activations" is mutable, it holds what goes in, as ``before``, and what
    comes out, as ``after``; see `silo_jax.diagnostics.representations`.

    Attributes:
      kind: "relu", "relu6", "gelu" or "tanh".
    """

    kind: str = "relu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = getattr(nn, self.kind)(x)
        if not self.is_initializing():
            self.sow("activations", "before", x)
            self.sow("activations", "after", y)
        return y


def require_side(name: str, images: jax.Array, minimum: int) -> None:
    """Raises ValueError for images of which too little is left after a network's pooling."""
    height, width = images.shape[1:3]
    if min(height, width) < minimum:
        raise ValueError(
            f"images for {name}: {height}×{width}; allowed: at least {minimum}×{minimum}"
        )


def he_conv(
    channels: int,
    size: int = 3,
    *,
    strides: int = 1,
    groups: int = 1,
    use_bias: bool = False,
    dtype: str = "float32",
    name: str | None = None,
) -> Conv:
    """A convolution that keeps the sides (over the stride), with He normal initialisation.

    References:
      He et al., "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852.
    """
    return Conv(
        channels,
        (size, size),
        strides=strides,
        padding=size // 2,
        groups=groups,
        use_bias=use_bias,
        kernel_init=nn.initializers.he_normal(),
        dtype=dtype,
        name=name,
    )


def batch_norm(train: bool, dtype: str, norm: str = "batch") -> Callable[..., Callable]:
    """BatchNorm with momentum 0.9; in training it normalises by the batch's own statistics.

    With the norm "none" its place is left empty.
    """
    if norm == "none":
        return lambda **_: lambda x: x
    return partial(
        nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=dtype
    )


def max_pool(images: jax.Array, size: int, strides: int, padding: int = 0) -> jax.Array:
    """Maximum over windows; as `flax.linen.max_pool`, with a gradient that is fast on the CPU.

    Where several pixels of a window are the largest, they share the gradient.
    """
    side = (padding, padding)
    images = jnp.pad(images, ((0, 0), side, side, (0, 0)), constant_values=-jnp.inf)
    for axis in (1, 2):
        reach = (images.shape[axis] - size) // strides * strides + 1
        taps = [lax.slice_in_dim(images, i, i + reach, strides, axis) for i in range(size)]
        images = reduce(jnp.maximum, taps)
    return images
