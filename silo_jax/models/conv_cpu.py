"""Convolutions and their gradients as XLA's CPU backend is fast at them, in a `lax.scan` as well.

It has a fast convolution only for channels-last images and an unflipped kernel. What
differentiation makes of a convolution is of another form, for which it falls back on naive loops
wherever it is part of a loop's body (https://github.com/jax-ml/jax/issues/12868). Here the two
gradients are written in the form it likes: the one of the images as a convolution, the one of the
kernel as products of matrices made of shifted images and gradients. Where an image has hardly any
pixels left, as in the last layers of a VGG, the fast convolution is slow as well, and all is done
by patches (`benchmarks/conv_in_scan.py`). A depthwise convolution is no matrix product, and its
kernel gradient takes XLA seconds; it and its gradients are sums over the kernel's taps, which
become plain loops over the channels.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

Padding = tuple[tuple[int, int], tuple[int, int]]
_NO_PADDING: Padding = ((0, 0), (0, 0))

# Patches or taps of a few images at a time keep to the cache of a core.
_GROUP_BYTES = 2**21

# Outputs of an image up to which XLA's fast convolution is slower than a product with patches.
_FEW_PIXELS = 4


def native(
    images: jax.Array, kernel: jax.Array, strides: int, padding: Padding, groups: int = 1
) -> jax.Array:
    """`lax.conv_general_dilated`, which JAX differentiates itself."""
    return lax.conv_general_dilated(
        images,
        kernel,
        (strides, strides),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def gradients(
    images: jax.Array,
    kernel: jax.Array,
    grad: jax.Array,
    strides: int,
    padding: Padding,
    groups: int = 1,
) -> tuple[jax.Array, jax.Array]:
    """Of images and kernel, from that of what they are convolved to."""
    kernel_gradient = _kernel_gradient if groups == 1 else _depthwise_kernel_gradient
    return (
        _images_gradient(images.shape, kernel, grad, strides, padding, groups),
        kernel_gradient(images, kernel.shape, grad, strides, padding),
    )


def convolved(
    images: jax.Array, kernel: jax.Array, strides: int, padding: Padding, groups: int = 1
) -> jax.Array:
    """Convolution of images (n, h, w, in) with a kernel (kh, kw, in / groups, out)."""
    if groups > 1:
        return _sum_over_taps(images, kernel, strides, padding)
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    out_size = _out_size(padded, kernel, strides)
    if math.prod(out_size) > _FEW_PIXELS:
        return native(images, kernel, strides, padding)
    precise = jnp.promote_types(images.dtype, jnp.float32)
    patches = _patches(padded, kernel.shape, out_size, strides)
    columns = kernel.reshape(-1, kernel.shape[3])
    return jnp.matmul(patches, columns, preferred_element_type=precise).astype(images.dtype)


def _sum_over_taps(
    images: jax.Array, kernel: jax.Array, strides: int, padding: Padding
) -> jax.Array:
    """Depthwise convolution: the sum of pixel · weight over the pixels under the kernel."""
    precise = jnp.promote_types(images.dtype, jnp.float32)
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    out_size = _out_size(padded, kernel, strides)
    weights = kernel.astype(precise).reshape(-1, kernel.shape[3])
    taps = _taps(padded, kernel.shape, out_size, strides)
    products = (tap * weight for tap, weight in zip(taps, weights, strict=True))
    return sum(products, jnp.zeros((), precise)).astype(images.dtype)


def _images_gradient(
    shape: tuple[int, ...],
    kernel: jax.Array,
    grad: jax.Array,
    strides: int,
    padding: Padding,
    groups: int,
) -> jax.Array:
    """The dilated gradient, convolved with the flipped kernel."""
    spread = _spread(grad, shape, kernel.shape, strides, padding)
    flipped = jnp.flip(kernel, (0, 1))
    if groups > 1:
        return _sum_over_taps(spread, flipped, 1, _NO_PADDING)
    return convolved(spread, flipped.swapaxes(2, 3), 1, _NO_PADDING)


def _spread(
    grad: jax.Array,
    shape: tuple[int, ...],
    kernel_size: Sequence[int],
    strides: int,
    padding: Padding,
) -> jax.Array:
    """The dilated gradient in a margin: around each of the images' pixels, what it has led to."""
    margins = [(0, 0, 0)]
    for axis in (0, 1):
        before = kernel_size[axis] - 1 - padding[axis][0]
        dilated = (grad.shape[axis + 1] - 1) * strides + 1
        after = shape[axis + 1] + kernel_size[axis] - 1 - before - dilated
        margins.append((before, after, strides - 1))
    return lax.pad(grad, jnp.zeros((), grad.dtype), [*margins, (0, 0, 0)])


def _kernel_gradient(
    images: jax.Array, shape: tuple[int, ...], grad: jax.Array, strides: int, padding: Padding
) -> jax.Array:
    """The sum of pixel · gradient under each of the kernel's taps."""
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    if strides == 1 and _is_less_on_both_sides(shape, grad.shape[1]):
        return _taps_on_both_sides(padded, grad, shape)
    if strides > 1 or images.shape[3] <= grad.shape[3]:
        return _sum_of_products(padded, grad, shape[:2], strides).reshape(shape)
    around = _spread(grad, images.shape, shape, strides, padding)
    flipped = _sum_of_products(around, images, shape[:2], strides)
    by_tap = flipped.reshape(*shape[:2], shape[3], shape[2])
    return jnp.flip(by_tap, (0, 1)).swapaxes(2, 3)


def _is_less_on_both_sides(shape: tuple[int, ...], rows: int) -> bool:
    """Whether taps on both sides are fewer numbers than patches of the narrower side."""
    height, width, channels_in, channels_out = shape
    narrow, wide = sorted((channels_in, channels_out))
    fewer = width * channels_in + height * channels_out < height * width * narrow + wide
    return fewer and rows >= 2 * height  # of few rows the margin is too large a part


def _taps_on_both_sides(padded: jax.Array, grad: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Of stride 1, from a kernel's row of taps on the images and its column on the gradients.

    The product of the two has every pair of a tap along the width and one along the height, and is
    near to square, where patches have as many copies of the images as the kernel has taps.
    """
    height, width = shape[:2]

    def product(padded: jax.Array, grad: jax.Array) -> jax.Array:
        taps = [padded[:, :, j : j + grad.shape[2]] for j in range(width)]
        margins = ((i, height - 1 - i) for i in range(height))
        spread = [jnp.pad(grad, ((0, 0), margin, (0, 0), (0, 0))) for margin in margins]
        return _product(jnp.concatenate(taps, axis=-1), jnp.concatenate(spread, axis=-1))

    numbers = padded.shape[1] * grad.shape[2] * (width * shape[2] + height * shape[3])
    total = _sum_over_groups(product, padded, grad, numbers * padded.dtype.itemsize)
    return total.reshape(width, shape[2], height, shape[3]).transpose(2, 0, 1, 3)


def _sum_of_products(
    padded: jax.Array, pixels: jax.Array, kernel_size: Sequence[int], strides: int
) -> jax.Array:
    """The sum of patchesᵀ · pixels, (kh · kw · channels, channels)."""

    def product(padded: jax.Array, pixels: jax.Array) -> jax.Array:
        return _product(_patches(padded, kernel_size, pixels.shape[1:3], strides), pixels)

    numbers = math.prod(kernel_size) * padded.shape[3] * math.prod(pixels.shape[1:3])
    return _sum_over_groups(product, padded, pixels, numbers * padded.dtype.itemsize)


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    """leftᵀ · right over all axes but the last, in float32 at least."""
    columns, rows = (a.reshape(-1, a.shape[-1]) for a in (left, right))
    precise = jnp.promote_types(left.dtype, jnp.float32)
    return jnp.matmul(columns.T, rows, preferred_element_type=precise)


def _sum_over_groups(
    product: Callable[[jax.Array, jax.Array], jax.Array],
    left: jax.Array,
    right: jax.Array,
    bytes_per_image: int,
) -> jax.Array:
    """The sum of products over groups of images, which keep to the cache."""
    group = _divisor_up_to(left.shape[0], _GROUP_BYTES // bytes_per_image)
    grouped = tuple(a.reshape(-1, group, *a.shape[1:]) for a in (left, right))
    first = jax.eval_shape(product, *(a[0] for a in grouped))

    def add_group(total: jax.Array, pair: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        return total + product(*pair), None

    start = jnp.zeros(first.shape, first.dtype)
    return lax.scan(add_group, start, grouped)[0].astype(left.dtype)


def _depthwise_kernel_gradient(
    images: jax.Array, shape: tuple[int, ...], grad: jax.Array, strides: int, padding: Padding
) -> jax.Array:
    """The sum over images of pixel · gradient, for the pixels under each of the kernel's taps."""
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    precise = jnp.promote_types(grad.dtype, jnp.float32)

    def add_image(total: jax.Array, pair: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        image, grad = pair[0][None], pair[1].astype(precise)
        taps = _taps(image, shape, grad.shape[:2], strides)
        return total + jnp.stack([(tap * grad).sum((0, 1, 2)) for tap in taps]), None

    start = jnp.zeros((shape[0] * shape[1], shape[3]), precise)
    return lax.scan(add_image, start, (padded, grad))[0].reshape(shape).astype(grad.dtype)


def _out_size(padded: jax.Array, kernel: jax.Array, strides: int) -> list[int]:
    return [(padded.shape[axis + 1] - kernel.shape[axis]) // strides + 1 for axis in (0, 1)]


def _patches(
    padded: jax.Array, kernel_size: Sequence[int], out_size: Sequence[int], strides: int
) -> jax.Array:
    """The pixels under the kernel at every output: (n, oh, ow, kh · kw · in)."""
    return jnp.concatenate(_taps(padded, kernel_size, out_size, strides), axis=-1)


def _taps(
    padded: jax.Array, kernel_size: Sequence[int], out_size: Sequence[int], strides: int
) -> list[jax.Array]:
    """For each entry of the kernel, row by row, the pixel under it at every output."""
    reach = [(size - 1) * strides + 1 for size in out_size]
    return [
        padded[:, i : i + reach[0] : strides, j : j + reach[1] : strides]
        for i in range(kernel_size[0])
        for j in range(kernel_size[1])
    ]


def _divisor_up_to(number: int, limit: int) -> int:
    return max(d for d in range(1, max(1, min(number, limit)) + 1) if number % d == 0)
