"""A convolution whose backward pass is fast on the CPU, inside a `lax.scan` as well.

XLA's CPU backend has a fast convolution only for channels-last images and an unflipped kernel. What
differentiation makes of a convolution is of another form, for which it falls back on naive loops
wherever it is part of a loop's body (https://github.com/jax-ml/jax/issues/12868). Here the two
gradients are written in the form it likes: the one of the images as a convolution, the one of the
kernel as matrix products over patches. Other backends keep what JAX derives.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

Padding = tuple[tuple[int, int], tuple[int, int]]

# Patches of a few images at a time keep to the cache of a core.
_PATCH_BYTES = 2**21


class Conv(nn.Module):
    """Two-dimensional convolution, channels last; as `flax.linen.Conv` with the same parameters.

    Attributes:
      features: number of output channels.
      kernel_size: (height, width).
      strides: step between outputs, the same along both axes.
      padding: pixels of zeros on every side.
      use_bias: whether a bias is added.
      kernel_init: initialiser of the kernel, of shape (height, width, in, out).
    """

    features: int
    kernel_size: tuple[int, int]
    strides: int = 1
    padding: int = 0
    use_bias: bool = True
    kernel_init: Callable[..., jax.Array] = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        shape = (*self.kernel_size, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        side = (self.padding, self.padding)
        out = conv(images, kernel, self.strides, (side, side))
        if self.use_bias:
            out = out + self.param("bias", nn.initializers.zeros, (self.features,))
        return out


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv(images: jax.Array, kernel: jax.Array, strides: int, padding: Padding) -> jax.Array:
    """Convolution of images (n, h, w, in) with a kernel (kh, kw, in, out)."""
    return _native(images, kernel, strides, padding)


def _forward(
    images: jax.Array, kernel: jax.Array, strides: int, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _native(images, kernel, strides, padding), (images, kernel)


def _backward(
    strides: int, padding: Padding, saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    def on_cpu(images: jax.Array, kernel: jax.Array, grad: jax.Array) -> tuple:
        return (
            _images_gradient(images.shape, kernel, grad, strides, padding),
            _kernel_gradient(images, kernel.shape, grad, strides, padding),
        )

    def elsewhere(images: jax.Array, kernel: jax.Array, grad: jax.Array) -> tuple:
        native = partial(_native, strides=strides, padding=padding)
        return jax.vjp(native, images, kernel)[1](grad)

    return lax.platform_dependent(*saved, grad, cpu=on_cpu, default=elsewhere)


conv.defvjp(_forward, _backward)


def _native(images: jax.Array, kernel: jax.Array, strides: int, padding: Padding) -> jax.Array:
    return lax.conv_general_dilated(
        images, kernel, (strides, strides), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _images_gradient(
    shape: tuple[int, ...], kernel: jax.Array, grad: jax.Array, strides: int, padding: Padding
) -> jax.Array:
    """The dilated gradient, convolved with the flipped kernel."""
    margins = [(0, 0, 0)]
    for axis in (0, 1):
        before = kernel.shape[axis] - 1 - padding[axis][0]
        dilated = (grad.shape[axis + 1] - 1) * strides + 1
        after = shape[axis + 1] + kernel.shape[axis] - 1 - before - dilated
        margins.append((before, after, strides - 1))
    spread = lax.pad(grad, jnp.zeros((), grad.dtype), [*margins, (0, 0, 0)])
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    return _native(spread, flipped, 1, ((0, 0), (0, 0)))


def _kernel_gradient(
    images: jax.Array, shape: tuple[int, ...], grad: jax.Array, strides: int, padding: Padding
) -> jax.Array:
    """The sum over groups of images of patchesᵀ · gradient."""
    patch_size = shape[0] * shape[1] * shape[2]
    bytes_per_image = grad.shape[1] * grad.shape[2] * patch_size * images.dtype.itemsize
    group = _divisor_up_to(images.shape[0], _PATCH_BYTES // bytes_per_image)
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    precise = jnp.promote_types(grad.dtype, jnp.float32)

    def add_group(total: jax.Array, pair: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        patches = _patches(pair[0], shape[:2], grad.shape[1:3], strides)
        columns, grads = patches.reshape(-1, patch_size), pair[1].reshape(-1, shape[3])
        return total + jnp.matmul(columns.T, grads, preferred_element_type=precise), None

    grouped = [a.reshape(-1, group, *a.shape[1:]) for a in (padded, grad)]
    start = jnp.zeros((patch_size, shape[3]), precise)
    return lax.scan(add_group, start, tuple(grouped))[0].reshape(shape).astype(grad.dtype)


def _patches(
    padded: jax.Array, kernel_size: tuple[int, ...], out_size: tuple[int, ...], strides: int
) -> jax.Array:
    """The pixels under the kernel at every output: (n, oh, ow, kh · kw · in)."""
    reach = [(size - 1) * strides + 1 for size in out_size]
    taps = [
        padded[:, i : i + reach[0] : strides, j : j + reach[1] : strides]
        for i in range(kernel_size[0])
        for j in range(kernel_size[1])
    ]
    return jnp.concatenate(taps, axis=-1)


def _divisor_up_to(number: int, limit: int) -> int:
    return max(d for d in range(1, max(1, min(number, limit)) + 1) if number % d == 0)
