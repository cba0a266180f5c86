"""Convolutions of few channels in a shape that an NVIDIA GPU is faster at.

Neighbouring columns of an image stand side by side as channels, which is no other order of the
numbers. The kernel gets zeros where a column is no neighbour of another; to compute with them costs
less than is won by products of more channels (`benchmarks/conv_columns.py`, on an H200).
"""

import jax
import jax.numpy as jnp

from silo_jax.models.conv_cpu import Padding, native

# As many columns at once as have so many channels together; measured with 16 and 32 a column.
_CHANNELS = 64

# The first layer, of 3 channels, is slower by columns; where the limit is was not measured.
_FEWEST = 8


def convolved(
    images: jax.Array, kernel: jax.Array, strides: int, padding: Padding, groups: int = 1
) -> jax.Array:
    """Convolution of images (n, h, w, in) with a kernel (kh, kw, in / groups, out)."""
    columns = _CHANNELS // max(kernel.shape[2:])
    is_plain = strides == 1 and min(kernel.shape[2:]) >= _FEWEST  # so there are no groups
    if is_plain and columns > 1 and can_fold(images.shape, kernel.shape, padding, columns):
        return by_columns(images, kernel, padding, columns)
    return native(images, kernel, strides, padding, groups)


def can_fold(
    shape: tuple[int, ...], kernel_shape: tuple[int, ...], padding: Padding, columns: int
) -> bool:
    """Whether the images' width can be taken so many columns at a time, and is kept."""
    reach = kernel_shape[1] // 2
    keeps_width = kernel_shape[1] == 2 * reach + 1 and padding[1] == (reach, reach)
    return keeps_width and 1 <= reach <= columns and shape[2] % columns == 0


def by_columns(images: jax.Array, kernel: jax.Array, padding: Padding, columns: int) -> jax.Array:
    """Convolution of stride 1 in which so many columns are the channels of one.

    Args:
      images: (n, h, w, in), with w a multiple of ``columns``.
      kernel: (kh, kw, in, out), with kw odd and kw // 2 up to ``columns``.
      padding: rows and columns of zeros around an image; of columns kw // 2 on either side.
      columns: how many.
    """
    n, height, width, channels = images.shape
    folded = images.reshape(n, height, width // columns, columns * channels)
    out = native(folded, _of_columns(kernel, columns), 1, (padding[0], (1, 1)))
    return out.reshape(n, out.shape[1], width, kernel.shape[3])


def _of_columns(kernel: jax.Array, columns: int) -> jax.Array:
    """The kernel from the columns before, at and after a place to the columns there.

    Each column has the kernel's taps where its neighbours are, and zeros elsewhere:
    (kh, 3, columns · in, columns · out).
    """
    height, width, channels_in, channels_out = kernel.shape

    def to_column(column: int) -> jax.Array:
        before = columns + column - width // 2
        margins = ((0, 0), (before, 3 * columns - before - width), (0, 0), (0, 0))
        taps = jnp.pad(kernel, margins)
        return taps.reshape(height, 3, columns * channels_in, channels_out)

    return jnp.concatenate([to_column(column) for column in range(columns)], axis=-1)
