"""Augmentation and normalisation of uint8 image batches."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from silo_jax.checks import require_int

_CHUNK_BYTES = 1 << 24


def augment(key: jax.Array, images: ArrayLike, *, crop_padding: int, flip: bool) -> jax.Array:
    """Crops each image at random out of its zero-padded self, and mirrors half of them.

    Every image has its own offset, uniform over the (2·crop_padding + 1)² possible ones, and its
    own coin for the mirroring. Pure, and meant to run inside `jit`: one gather does both.

    Args:
      key: a JAX random key; the same key gives the same batch.
      images: a batch of shape (b, h, w, c); the type is kept.
      crop_padding: rows and columns of zeros added on each side before the crop, in pixels. Static.
      flip: whether images are mirrored left to right with probability 1/2. Static.

    Returns:
      A batch of the shape and type of ``images``; with crop_padding=0 and flip=False, the images
      themselves.

    Raises:
      ValueError: if `crop_padding` is negative or `images` has no four axes.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from silo_jax.data import augment
      >>> images = jnp.ones((2, 4, 4, 1), jnp.uint8)
      >>> augment(jax.random.key(0), images, crop_padding=1, flip=True).shape
      (2, 4, 4, 1)
    """
    images = jnp.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"images: {images.shape}; allowed: (batch, height, width, channels)")
    require_int("crop_padding", crop_padding, minimum=0)
    if not (crop_padding or flip):
        return images
    batch, height, width, _ = images.shape
    offset_key, flip_key = jax.random.split(key)
    offsets = jax.random.randint(offset_key, (batch, 2), 0, 2 * crop_padding + 1)
    columns = jnp.arange(width)
    if flip:
        mirrored = jax.random.bernoulli(flip_key, 0.5, (batch, 1))
        columns = jnp.where(mirrored, columns[::-1], columns)
    pad = (crop_padding, crop_padding)
    padded = jnp.pad(images, ((0, 0), pad, pad, (0, 0)))
    rows, columns = offsets[:, :1] + jnp.arange(height), offsets[:, 1:] + columns
    # Image by image, so that a batch on several devices is cropped without any exchange.
    return jax.vmap(lambda image, row, column: image[row[:, None], column])(padded, rows, columns)


def normalize(
    images: ArrayLike, mean: Sequence[float] | ArrayLike, std: Sequence[float] | ArrayLike
) -> jax.Array:
    """Returns (images / 255 - mean) / std, channel by channel, in float32.

    Args:
      images: intensities 0..255, of shape (..., c).
      mean: one number a channel, on the scale 0..1.
      std: one number a channel, on the scale 0..1.

    Example:
      >>> import numpy as np
      >>> from silo_jax.data import normalize
      >>> float(normalize(np.full((1, 1, 1, 1), 255, np.uint8), [0.5], [0.25])[0, 0, 0, 0])
      2.0
    """
    scaled = jnp.asarray(images).astype(jnp.float32) / 255
    return (scaled - jnp.asarray(mean, jnp.float32)) / jnp.asarray(std, jnp.float32)


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the standard deviation of images / 255, channel by channel.

    The sums are of integers, so exact, and taken over a few megabytes at a time, so a memory map
    stays on disk.

    Args:
      images: uint8, of shape (n, h, w, c), n at least 1.

    Returns:
      Two float64 arrays of shape (c,), as `normalize` takes them.

    Raises:
      ValueError: if `images` is not of that type and shape, or a channel is constant (nothing can
        be divided by its standard deviation of 0).

    Example:
      >>> import numpy as np
      >>> from silo_jax.data import channel_statistics
      >>> mean, std = channel_statistics(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))
      >>> float(mean[0]), float(std[0])
      (0.5, 0.5)
    """
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise ValueError(f"images: {images.dtype}{list(images.shape)}; allowed: uint8[n, h, w, c]")
    count, channels = images[..., 0].size, images.shape[-1]
    total, squares = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    step = max(1, _CHUNK_BYTES // images[0].size)
    for start in range(0, len(images), step):
        chunk = images[start : start + step]
        total += _channel_sums(chunk)
        squares += _channel_sums(np.square(chunk, dtype=np.uint16))
    spread = [count * int(q) - int(s) ** 2 for s, q in zip(total, squares, strict=True)]
    if 0 in spread:
        raise ValueError(f"images: channel {spread.index(0)} is constant; allowed: one that varies")
    scale = 255.0 * count
    return total / scale, np.sqrt([float(v) for v in spread]) / scale


def _channel_sums(images: np.ndarray) -> np.ndarray:
    sums: np.ndarray = images.sum(axis=(0, 1), dtype=np.int64).sum(axis=0)
    return sums
