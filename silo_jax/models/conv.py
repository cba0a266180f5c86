"""A convolution whose backward pass is fast on the CPU, inside a `lax.scan` as well, and on a GPU.

On the CPU it and its gradients are those of `silo_jax.models.conv_cpu`, and on an NVIDIA GPU those
of `silo_jax.models.conv_gpu`. Other backends keep `lax.conv_general_dilated` and what JAX derives.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import linen as nn
from jax import lax

from silo_jax.checks import shown
from silo_jax.models import conv_cpu, conv_gpu
from silo_jax.models.conv_cpu import Padding, native


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
    how: dict[str, Any] = {"strides": strides, "padding": padding, "groups": groups}
    on_cpu, on_gpu = partial(conv_cpu.convolved, **how), partial(conv_gpu.convolved, **how)
    elsewhere = partial(native, **how)
    return lax.platform_dependent(images, kernel, cpu=on_cpu, cuda=on_gpu, default=elsewhere)


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
    how: dict[str, Any] = {"strides": strides, "padding": padding, "groups": groups}

    def derived(convolve: Callable, images: jax.Array, kernel: jax.Array, grad: jax.Array) -> tuple:
        return jax.vjp(partial(convolve, **how), images, kernel)[1](grad)

    on_cpu, on_gpu = partial(conv_cpu.gradients, **how), partial(derived, conv_gpu.convolved)
    elsewhere = partial(derived, native)
    return lax.platform_dependent(*saved, grad, cpu=on_cpu, cuda=on_gpu, default=elsewhere)


conv.defvjp(_forward, _backward)
