"""Time and memory of one exact global prune, beside sorting and partitioning the same scores.

    python -m benchmarks.prune --out=benchmarks/results/prune.json

Every way takes a fifth of the weights that are left, of which 0.8 of all are, and their numbers are
compared with the exact one. Peak memory is what a run needs beside weights and masks, its result
included, by the process's resident set (Linux only).
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import median_ratio, peak_extra_bytes, report, seconds_in_turn
from silo_jax import prune

FRACTION = 0.2
Shapes = list[tuple[int, ...]]


def resnet50_shapes() -> Shapes:
    """The kernels of ResNet-50 for ImageNet."""
    shapes: Shapes = [(7, 7, 3, 64)]
    inputs = 64
    for width, num_blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(num_blocks):
            shapes += [(1, 1, inputs, width), (3, 3, width, width), (1, 1, width, 4 * width)]
            if block == 0:
                shapes.append((1, 1, inputs, 4 * width))
            inputs = 4 * width
    return [*shapes, (2048, 1000)]


def vit_b16_shapes() -> Shapes:
    """The kernels of ViT-B/16 for ImageNet."""
    block: Shapes = [(768, 768)] * 4 + [(768, 3072), (3072, 768)]
    return [(16, 16, 3, 768), *block * 12, (768, 1000)]


NETWORKS = {
    "1 M in 50 layers": [(200, 100)] * 50,
    "ResNet-50": resnet50_shapes(),
    "ViT-B/16": vit_b16_shapes(),
}


def weights_and_masks(shapes: Shapes) -> tuple[dict, dict]:
    random = np.random.default_rng(0)
    params = {
        f"layer_{i:03}": random.standard_normal(shape, np.float32) for i, shape in enumerate(shapes)
    }
    masks = {name: random.random(w.shape, np.float32) < 0.8 for name, w in params.items()}
    return jax.tree.map(jnp.asarray, params), jax.tree.map(jnp.asarray, masks)


def joined(params: dict, masks: dict) -> tuple[jax.Array, jax.Array]:
    """All scores, inf where a weight is pruned, and all masks."""
    mask = jnp.concatenate([mask.ravel() for mask in masks.values()])
    scores = jnp.concatenate([jnp.abs(weight).ravel() for weight in params.values()])
    return jnp.where(mask, scores, jnp.inf), mask


def by_argsort(params: dict, masks: dict) -> jax.Array:
    """The mask of the concatenated weights, from the order of their magnitudes."""
    scores, mask = joined(params, masks)
    order = jnp.argsort(scores)
    going = jnp.arange(order.size) < jnp.round(FRACTION * mask.sum()).astype(int)
    return mask.at[order].min(~going)


def by_sort(params: dict, masks: dict) -> jax.Array:
    """From the magnitude of the rank that stays, without regard to ties."""
    scores, mask = joined(params, masks)
    count = jnp.round(FRACTION * mask.sum()).astype(int)
    return mask & (scores > jnp.sort(scores)[count - 1])


def by_numpy_partition(params: dict, masks: dict) -> np.ndarray:
    """On the host, without regard to ties."""
    mask = np.concatenate([np.ravel(mask) for mask in masks.values()])
    scores = np.abs(np.concatenate([np.ravel(weight) for weight in params.values()]))
    scores[~mask] = np.inf
    count = round(FRACTION * int(mask.sum()))
    return mask & (scores > np.partition(scores, count - 1)[count - 1])


WAYS: dict[str, Callable] = {
    "prune": jax.jit(lambda params, masks: prune(params, masks, FRACTION)),
    "jnp.argsort": jax.jit(by_argsort),
    "jnp.sort": jax.jit(by_sort),
    "np.partition": by_numpy_partition,
}


def num_kept(masks: dict | jax.Array | np.ndarray) -> int:
    return sum(int(np.sum(mask)) for mask in jax.tree.leaves(masks))


def peak_bytes_of_a_run(network: str, way: str) -> int:
    """In an interpreter of its own, in which nothing else has run; compiled before it is run."""
    command = [sys.executable, "-m", "benchmarks.prune", f"--peak-of={network}:{way}"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak_bytes(network: str, way: str) -> None:
    params, masks = weights_and_masks(NETWORKS[network])
    program = WAYS[way]
    if way != "np.partition":
        program = program.lower(params, masks).compile()
    print(peak_extra_bytes(partial(program, params, masks)))


def rows_of(network: str, ways: list[str], repeats: int) -> list[dict]:
    params, masks = weights_and_masks(NETWORKS[network])
    left, num_weights = num_kept(masks), sum(mask.size for mask in masks.values())
    programs = {way: partial(WAYS[way], params, masks) for way in ways}
    seconds = seconds_in_turn(programs, repeats)
    rows = [
        {
            "network": network,
            "weights": num_weights,
            "way": way,
            "seconds": statistics.median(seconds[way]),
            "times_prune": median_ratio(seconds[way], seconds["prune"]),
            "count_is_exact": num_kept(program()) == left - round(FRACTION * left),
        }
        for way, program in programs.items()
    ]
    if jax.default_backend() == "cpu":  # an accelerator's memory is not the process's
        for row in rows:
            row["peak_bytes_a_weight"] = peak_bytes_of_a_run(network, row["way"]) / num_weights
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--out")
    options = parser.parse_args()
    if options.peak_of:
        print_peak_bytes(*options.peak_of.split(":"))
        return
    ways = ["prune", *(way for way in options.ways if way != "prune")]
    report(
        (row for name in options.networks for row in rows_of(name, ways, options.repeats)),
        options.out,
    )


if __name__ == "__main__":
    main()
