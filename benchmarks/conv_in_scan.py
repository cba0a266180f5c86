"""How fast convolutions and their gradients are inside a `lax.scan`: ours against XLA's.

    python -m benchmarks.conv_in_scan --out=conv_in_scan.json

Each layer shape of ResNet-20 at batch 128, forward and the two gradients, as milliseconds a step:

    ours      `silo_jax.models.conv.conv` in a scan
    native    `lax.conv_general_dilated` and what JAX differentiates it to, in a scan
    no loop   the same native computation as a program of its own

The three are timed in turn, round after round, so that other load on the machine falls on all of
them, and the medians are compared. Takes two minutes on two cores.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import lax

from silo_jax.models.conv import conv

# Name: side of the images, channels in, channels out, stride; the kernels are 3×3.
LAYERS = {
    "stem 32×32×3→16": (32, 3, 16, 1),
    "stage 1 32×32×16": (32, 16, 16, 1),
    "stage 2 32×32×16→32, stride 2": (32, 16, 32, 2),
    "stage 2 16×16×32": (16, 32, 32, 1),
    "stage 3 8×8×64": (8, 64, 64, 1),
}
PADDING = ((1, 1), (1, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2, help="length of the scan, at least 2")
    parser.add_argument("--rounds", type=int, default=5, help="timings that a median is taken of")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    args = parser.parse_args()
    if min(args.batch_size, args.rounds, args.steps - 1) < 1:
        parser.error("--batch-size and --rounds have to be at least 1, --steps at least 2")

    rows = []
    print(f"{'layer':30} {'pass':16} {'ours ms':>9} {'native':>8} {'no loop':>8}  (÷ ours)")
    for layer, shape in LAYERS.items():
        for row in measure(layer, *shape, args):
            rows.append(row)
            ratios = f"{row['native_over_ours']:7.2f}× {row['no_loop_over_ours']:7.2f}×"
            print(f"{layer:30} {row['pass']:16} {row['ours_ms']:9.2f} {ratios}", flush=True)
    if args.out:
        results = {**environment(), "settings": settings(args), "rows": rows}
        args.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


def measure(
    layer: str, side: int, channels_in: int, channels: int, strides: int, args: argparse.Namespace
) -> list[dict]:
    """A row for each pass through one layer."""
    keys = jax.random.split(jax.random.key(0), 3)
    out_side = -(-side // strides)
    images = jax.random.normal(keys[0], (args.steps, args.batch_size, side, side, channels_in))
    grads = jax.random.normal(keys[1], (args.steps, args.batch_size, out_side, out_side, channels))
    kernel = jax.random.normal(keys[2], (3, 3, channels_in, channels)) / 10

    ours, native = (passes(convolution, strides) for convolution in (conv, native_conv))
    rows = []
    for name in ours:
        programs = {
            "ours": compiled(in_scan(ours[name]), kernel, images, grads),
            "native": compiled(in_scan(native[name]), kernel, images, grads),
            "no_loop": compiled(native[name], kernel, images[0], grads[0]),
        }
        seconds = medians(programs, args.rounds)
        per_step = {"no_loop": seconds["no_loop"]} | {
            key: seconds[key] / args.steps for key in ("ours", "native")
        }
        rows.append(
            {"layer": layer, "pass": name}
            | {f"{key}_ms": round(1000 * value, 3) for key, value in per_step.items()}
            | {
                f"{key}_over_ours": round(per_step[key] / per_step["ours"], 3)
                for key in ("native", "no_loop")
            }
        )
    return rows


def passes(convolution: Callable, strides: int) -> dict[str, Callable]:
    """The forward pass and the two gradients as functions of (kernel, images, grad)."""

    def forward(kernel: jax.Array, images: jax.Array, grad: jax.Array) -> jax.Array:
        return convolution(images, kernel, strides, PADDING)

    def images_gradient(kernel: jax.Array, images: jax.Array, grad: jax.Array) -> jax.Array:
        return jax.vjp(lambda x: forward(kernel, x, grad), images)[1](grad)[0]

    def kernel_gradient(kernel: jax.Array, images: jax.Array, grad: jax.Array) -> jax.Array:
        return jax.vjp(lambda k: forward(k, images, grad), kernel)[1](grad)[0]

    return {
        "forward": forward,
        "images gradient": images_gradient,
        "kernel gradient": kernel_gradient,
    }


def native_conv(images: jax.Array, kernel: jax.Array, strides: int, padding: tuple) -> jax.Array:
    return lax.conv_general_dilated(
        images, kernel, (strides, strides), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def in_scan(function: Callable) -> Callable:
    """The sum of the function over a leading axis of images and gradients."""

    def program(kernel: jax.Array, images: jax.Array, grads: jax.Array) -> jax.Array:
        out = jax.eval_shape(function, kernel, images[0], grads[0])
        add = lambda total, pair: (total + function(kernel, *pair), None)  # noqa: E731
        return lax.scan(add, jnp.zeros(out.shape, out.dtype), (images, grads))[0]

    return program


def compiled(function: Callable, *args: jax.Array) -> Callable:
    program = jax.jit(function).lower(*args).compile()
    return lambda: program(*args)


def medians(programs: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Median seconds of each, over rounds in which each runs once; a first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds + 1):
        for name, program in programs.items():
            started = time.perf_counter()
            jax.block_until_ready(program())
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def settings(args: argparse.Namespace) -> dict:
    return {key: value for key, value in vars(args).items() if key != "out"}


def environment() -> dict:
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}",
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
    }


if __name__ == "__main__":
    main()
