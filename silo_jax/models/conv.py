"""A convolution whose backward pass is fast on the CPU, inside a `lax.scan` as well.

XLA's CPU backend has a fast convolution only for channels-last images and an unflipped kernel. What
differentiation makes of a convolution is of another form, for which it falls back on naive loops
wherever it is part of a loop's body (https://github.com/jax-ml/jax/issues/12868). Here the two
gradients are written in the form it likes: the one of the images as a convolution, the one of the
kernel as matrix products over patches. Where an image has hardly any pixels left, as in the last
layers of a VGG, the fast convolution is slow as well, and all is done by patches
(`benchmarks/conv_in_scan.py`). A depthwise convolution is no matrix product, and its kernel
gradient takes XLA seconds; it and its gradients are sums over the kernel's taps, which become plain
loops over the channels. Other backends keep `lax.conv_general_dilated` and what JAX derives.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from silo_jax.checks import shown

Padding = tuple[tuple[int, int], tuple[int, int]]
_NO_PADDING: Padding = ((0, 0), (0, 0))

# Patches of a few images at a time keep to the cache of a core.
_PATCH_BYTES = 2**21

# Outputs of an image up to which XLA's fast convolution is slower than a product with patches.
_FEW_PIXELS = 4


class Conv(nn.Module):
    """Two-dimensional convolution, channels last; as `flax.linen.Conv` with the same parameters.

    Attributes:
      features: number of output channels.
      kernel_size: (height, width).
      strides: step between outputs, the same along both axes.
      padding: pixels of zeros on every side.
      groups: 1, or the number of channels for a depthwise convolution, which has as many outputs.
      use_bias: whether a bias is added.
      kernel_init: initialiser of the kernel, of shape (height, width, in / groups, out).
      dtype: what images and weights are converted to; the weights themselves are float32.

    Raises:
      ValueError: on a call, groups of another number.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: int = 1
    padding: int = 0
    groups: int = 1
    use_bias: bool = True
    kernel_init: Callable[..., jax.Array] = nn.initializers.lecun_normal()
    dtype: str = "float32"

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        channels = images.shape[-1]
        if self.groups != 1 and not self.groups == channels == self.features:
            raise ValueError(
                f"groups: {shown(self.groups)} with {channels} channels and {self.features} "
                "outputs; allowed: 1, or as many as both"
            )
        shape = (*self.kernel_size, channels // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
        side = (self.padding, self.padding)
        out = conv(images.astype(self.dtype), kernel, self.strides, (side, side), self.groups)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            out = out + bias.astype(self.dtype)
        return out


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def conv(
    images: jax.Array, kernel: jax.Array, strides: int, padding: Padding, groups: int = 1
) -> jax.Array:
    """Convolution of images (n, h, w, in) with a kernel (kh, kw, in / groups, out).

    Groups are 1, or as many as there are channels, in and out.
    """
    native = partial(_native, strides=strides, padding=padding, groups=groups)
    on_cpu = partial(_on_cpu if groups == 1 else _sum_over_taps, strides=strides, padding=padding)
    return lax.platform_dependent(images, kernel, cpu=on_cpu, default=native)


def _forward(
    images: jax.Array, kernel: jax.Array, strides: int, padding: Padding, groups: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return conv(images, kernel, strides, padding, groups), (images, kernel)


def _backward(
    strides: int,
    padding: Padding,
    groups: int,
    saved: tuple[jax.Array, jax.Array],
    grad: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    def on_cpu(images: jax.Array, kernel: jax.Array, grad: jax.Array) -> tuple:
        kernel_gradient = _kernel_gradient if groups == 1 else _depthwise_kernel_gradient
        return (
            _images_gradient(images.shape, kernel, grad, strides, padding, groups),
            kernel_gradient(images, kernel.shape, grad, strides, padding),
        )

    def elsewhere(images: jax.Array, kernel: jax.Array, grad: jax.Array) -> tuple:
        native = partial(_native, strides=strides, padding=padding, groups=groups)
        return jax.vjp(native, images, kernel)[1](grad)

    return lax.platform_dependent(*saved, grad, cpu=on_cpu, default=elsewhere)


conv.defvjp(_forward, _backward)


def _native(
    images: jax.Array, kernel: jax.Array, strides: int, padding: Padding, groups: int = 1
) -> jax.Array:
    return lax.conv_general_dilated(
        images,
        kernel,
        (strides, strides),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _on_cpu(images: jax.Array, kernel: jax.Array, strides: int, padding: Padding) -> jax.Array:
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    out_size = _out_size(padded, kernel, strides)
    if math.prod(out_size) > _FEW_PIXELS:
        return _native(images, kernel, strides, padding)
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
    return _on_cpu(spread, flipped.swapaxes(2, 3), 1, _NO_PADDING)


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
    """The sum of pixel · gradient under each of the kernel's taps, by patches of the narrower."""
    if strides > 1 or images.shape[3] <= grad.shape[3]:
        padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
        return _sum_of_products(padded, grad, shape[:2], strides).reshape(shape)
    around = _spread(grad, images.shape, shape, strides, padding)
    flipped = _sum_of_products(around, images, shape[:2], strides)
    by_tap = flipped.reshape(*shape[:2], shape[3], shape[2])
    return jnp.flip(by_tap, (0, 1)).swapaxes(2, 3)


def _sum_of_products(
    padded: jax.Array, pixels: jax.Array, kernel_size: Sequence[int], strides: int
) -> jax.Array:
    """The sum over groups of images of patchesᵀ · pixels, (kh · kw · channels, channels)."""
    patch_size, channels = math.prod(kernel_size) * padded.shape[3], pixels.shape[3]
    bytes_per_image = math.prod(pixels.shape[1:3]) * patch_size * padded.dtype.itemsize
    group = _divisor_up_to(padded.shape[0], _PATCH_BYTES // bytes_per_image)
    precise = jnp.promote_types(padded.dtype, jnp.float32)

    def add_group(total: jax.Array, pair: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        patches = _patches(pair[0], kernel_size, pixels.shape[1:3], strides)
        columns, rows = patches.reshape(-1, patch_size), pair[1].reshape(-1, channels)
        return total + jnp.matmul(columns.T, rows, preferred_element_type=precise), None

    grouped = [a.reshape(-1, group, *a.shape[1:]) for a in (padded, pixels)]
    start = jnp.zeros((patch_size, channels), precise)
    return lax.scan(add_group, start, tuple(grouped))[0].astype(padded.dtype)


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
