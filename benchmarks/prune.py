"""The time of one exact global prune, beside that of sorting the same scores.

    python -m benchmarks.prune --out=benchmarks/results/prune.json

Every way takes a fifth of the weights that are left, of which 0.8 of all are, and their numbers are
compared with the exact one.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import median_ratio, report, seconds_in_turn
from silo_jax import prune

FRACTION = 0.2


def weights_and_masks(size: int, num_layers: int) -> tuple[dict, dict]:
    random = np.random.default_rng(0)
    shape = (size // num_layers // 100, 100)
    params = {f"layer_{i}": random.normal(size=shape).astype(np.float32) for i in range(num_layers)}
    masks = {name: random.random(shape) < 0.8 for name in params}
    return jax.tree.map(jnp.asarray, params), jax.tree.map(jnp.asarray, masks)


def by_argsort(params: dict, masks: dict) -> jax.Array:
    """The mask of the concatenated weights, from the order of their magnitudes."""
    mask = jnp.concatenate([mask.ravel() for mask in masks.values()])
    scores = jnp.concatenate([jnp.abs(weight).ravel() for weight in params.values()])
    order = jnp.argsort(jnp.where(mask, scores, jnp.inf))
    going = jnp.arange(order.size) < jnp.round(FRACTION * mask.sum()).astype(int)
    return mask.at[order].min(~going)


def by_numpy_partition(params: dict, masks: dict) -> np.ndarray:
    """On the host, without regard to ties."""
    mask = np.concatenate([np.ravel(mask) for mask in masks.values()])
    scores = np.abs(np.concatenate([np.ravel(weight) for weight in params.values()]))
    scores[~mask] = np.inf
    count = round(FRACTION * int(mask.sum()))
    return mask & (scores > np.partition(scores, count - 1)[count - 1])


def ways(with_argsort: bool) -> dict[str, Callable]:
    found = {"prune": jax.jit(lambda params, masks: prune(params, masks, FRACTION))}
    if with_argsort:
        found["jnp.argsort"] = jax.jit(by_argsort)
    return found | {"np.partition": by_numpy_partition}


def num_kept(masks: dict | jax.Array | np.ndarray) -> int:
    return sum(int(np.sum(mask)) for mask in jax.tree.leaves(masks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=[1_000_000, 25_000_000])
    parser.add_argument("--num-layers", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-argsort", action="store_true")
    parser.add_argument("--out")
    options = parser.parse_args()
    rows = []
    for size in options.sizes:
        params, masks = weights_and_masks(size, options.num_layers)
        left = num_kept(masks)
        programs = {
            name: partial(way, params, masks) for name, way in ways(not options.no_argsort).items()
        }
        seconds = seconds_in_turn(programs, options.repeats)
        for name, program in programs.items():
            rows.append(
                {
                    "weights": sum(mask.size for mask in masks.values()),
                    "way": name,
                    "seconds": statistics.median(seconds[name]),
                    "times_prune": median_ratio(seconds[name], seconds["prune"]),
                    "count_is_exact": num_kept(program()) == left - round(FRACTION * left),
                }
            )
    report(rows, options.out)


if __name__ == "__main__":
    main()
