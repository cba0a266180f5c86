"""Convolutions and their gradients inside a `lax.scan` on the CPU: ours against XLA's.

    python -m benchmarks.conv_in_scan --out=benchmarks/results/conv_in_scan.json

For the layer shapes of ResNet-20 and the last of VGG-19, milliseconds a step of
`silo_jax.models.conv.conv` in a scan ("ours"), and how many times as long the same takes with
`lax.conv_general_dilated` and what JAX differentiates it to: in a scan ("native") and as a program
of its own ("native outside"). Takes a few minutes on two cores, most of it the native gradients.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.measure import median_ratio, report, rounded_quartiles, seconds_in_turn
from silo_jax.models.conv import Padding, conv

# Side of the images, channels in, channels out, stride; the kernels are 3×3.
LAYERS = {
    "stem": (32, 3, 16, 1),
    "stage 1": (32, 16, 16, 1),
    "stage 2, stride 2": (32, 16, 32, 2),
    "stage 2": (16, 32, 32, 1),
    "stage 3": (8, 64, 64, 1),
    "fourth stage of VGG": (4, 512, 512, 1),
    "last stage of VGG": (2, 512, 512, 1),
}
PADDING = ((1, 1), (1, 1))
STEPS = 2  # a scan of one step would not be a loop


def native_conv(images: jax.Array, kernel: jax.Array, strides: int, padding: Padding) -> jax.Array:
    return lax.conv_general_dilated(
        images, kernel, (strides, strides), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def passes(convolution: Callable, strides: int) -> dict[str, Callable]:
    """The forward pass and the two gradients, as functions of (kernel, images, grad)."""

    def forward(kernel: jax.Array, images: jax.Array, grad: jax.Array) -> jax.Array:
        return convolution(images, kernel, strides, PADDING)

    def images_gradient(kernel: jax.Array, images: jax.Array, grad: jax.Array) -> jax.Array:
        return jax.vjp(lambda images: forward(kernel, images, grad), images)[1](grad)[0]

    def kernel_gradient(kernel: jax.Array, images: jax.Array, grad: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: forward(kernel, images, grad), kernel)[1](grad)[0]

    return {"forward": forward, "images": images_gradient, "kernel": kernel_gradient}


def in_scan(function: Callable) -> Callable:
    """The sum of the function over a leading axis of images and gradients."""

    def program(kernel: jax.Array, images: jax.Array, grads: jax.Array) -> jax.Array:
        def add(total: jax.Array, pair: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
            return total + function(kernel, *pair), None

        out = jax.eval_shape(function, kernel, images[0], grads[0])
        return lax.scan(add, jnp.zeros(out.shape, out.dtype), (images, grads))[0]

    return program


def measure(layer: str, batch_size: int, repeats: int) -> list[dict[str, Any]]:
    """A row for each pass through a layer."""
    side, channels_in, channels, strides = LAYERS[layer]
    keys = jax.random.split(jax.random.key(0), 3)
    kernel = jax.random.normal(keys[0], (3, 3, channels_in, channels))
    images = jax.random.normal(keys[1], (STEPS, batch_size, side, side, channels_in))
    out_side = -(-side // strides)
    grads = jax.random.normal(keys[2], (STEPS, batch_size, out_side, out_side, channels))

    ours, native = passes(conv, strides), passes(native_conv, strides)
    rows = []
    for name in ours:
        programs = {
            "ours": partial(jax.jit(in_scan(ours[name])), kernel, images, grads),
            "native": partial(jax.jit(in_scan(native[name])), kernel, images, grads),
            "native outside": partial(jax.jit(native[name]), kernel, images[0], grads[0]),
        }
        seconds = seconds_in_turn(programs, repeats)
        ours_per_step = [s / STEPS for s in seconds["ours"]]
        rows.append(
            {
                "layer": layer,
                "pass": name,
                "ours_ms": 1e3 * statistics.median(ours_per_step),
                "native_over_ours": median_ratio(seconds["native"], seconds["ours"]),
                "its_quartiles": rounded_quartiles(seconds["native"], seconds["ours"]),
                "native_outside_over_ours": median_ratio(seconds["native outside"], ours_per_step),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", nargs="*", default=[*LAYERS], choices=[*LAYERS])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out")
    options = parser.parse_args()
    layers = (measure(layer, options.batch_size, options.repeats) for layer in options.layers)
    report(chain.from_iterable(layers), options.out)


if __name__ == "__main__":
    main()
