"""Convolutions of few channels on a GPU: columns taken as channels against none.

    python -m benchmarks.conv_columns --out=benchmarks/results/conv_columns.json

For layers of ResNet-20, microseconds of the forward pass and both gradients together, one after
another in a scan, as `lax.conv_general_dilated` has them (1 column) and as
`silo_jax.models.conv_gpu.by_columns` does with 2 and 4 columns; "over_native" is the ratio to the
first. Kernels are 3×3. It takes half a minute on a GPU.

The numbers that are passed on stay finite, which is checked: each pass subtracts from kernel and
images a little of their gradients, as descent on the sum of squares of the output does.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.measure import median_ratio, report, rounded_quartiles, seconds_in_turn
from silo_jax.models.conv_cpu import native
from silo_jax.models.conv_gpu import by_columns

# Side of the images, channels in and out.
LAYERS = {"stem": (32, 3, 16), "stage 1": (32, 16, 16), "stage 2": (16, 32, 32)}
PADDING = ((1, 1), (1, 1))
COLUMNS = (1, 2, 4)


def convolution(columns: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    if columns == 1:
        return partial(native, strides=1, padding=PADDING)
    return partial(by_columns, padding=PADDING, columns=columns)


def passes(columns: int, kernel: jax.Array, images: jax.Array, steps: int) -> Callable[[], Any]:
    """So many forward and backward passes, each with what the one before has left."""
    small = jnp.asarray(0.1 / images[..., 0].size, images.dtype)

    def step(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple, None]:
        kernel, images = carry
        out, pullback = jax.vjp(convolution(columns), images, kernel)
        to_images, to_kernel = pullback(out)
        return (kernel - small * to_kernel, images - small * to_images), None

    @jax.jit
    def program(kernel: jax.Array, images: jax.Array) -> jax.Array:
        return lax.scan(step, (kernel, images), length=steps)[0][0]

    return partial(program, kernel, images)


def measure(layer: str, dtype: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each number of columns."""
    side, channels_in, channels = LAYERS[layer]
    keys = jax.random.split(jax.random.key(0))
    kernel = 0.01 * jax.random.normal(keys[0], (3, 3, channels_in, channels), dtype)
    images = jax.random.normal(keys[1], (options.batch_size, side, side, channels_in), dtype)
    calls = {str(c): passes(c, kernel, images, options.steps) for c in COLUMNS}
    for columns, program in calls.items():
        if not jnp.isfinite(program().astype(jnp.float32)).all():
            raise ValueError(f"{layer}, {dtype}, {columns} columns: not finite any more")
    seconds = seconds_in_turn(calls, options.repeats)
    return [
        {
            "layer": layer,
            "dtype": dtype,
            "batch_size": options.batch_size,
            "columns": int(columns),
            "us": 1e6 * statistics.median(values) / options.steps,
            "over_native": median_ratio(values, seconds["1"]),
            "its_quartiles": rounded_quartiles(values, seconds["1"]),
        }
        for columns, values in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out")
    options = parser.parse_args()
    cases = itertools.product(LAYERS, ("float32", "bfloat16"))
    report((row for case in cases for row in measure(*case, options)), options.out)


if __name__ == "__main__":
    main()
