"""The time of a masked train step over that of the same step without masks.

    python -m benchmarks.masked_step --out=benchmarks/results/masked_step.json

The step without masks is the same code on masks that say of every leaf that it is kept whole, for
which nothing is compiled. Steps run inside an epoch's scan, on random images.
"""

import argparse
import statistics
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import median_ratio, ratio_quartiles, report, seconds_in_turn
from silo_jax import shapes
from silo_jax.models import create_model
from silo_jax.training.optimizer import make_optimizer
from silo_jax.training.state import TrainState, create_state
from silo_jax.training.step import DeviceSplit, Recipe, train_epoch

NETWORKS = {"lenet_300_100": ((28, 28, 1), 200), "resnet20": ((32, 32, 3), 4)}


class Epochs:
    """An epoch of a network, called again and again, with or without masks."""

    def __init__(
        self, network: str, batch_size: int, *, steps: int | None = None, with_masks: bool = True
    ) -> None:
        image_shape, default_steps = NETWORKS[network]
        steps = steps or default_steps
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (steps * batch_size, *image_shape), dtype=np.uint8)
        labels = random.integers(0, 10, steps * batch_size)
        self._data = DeviceSplit(jnp.asarray(images), jnp.asarray(labels))
        recipe = Recipe(
            model=create_model(network, num_classes=10),
            optimizer=make_optimizer("sgd", weight_decay=5e-4),
            shape=shapes.constant(),
            steps_per_cycle=2**30,
            batch_size=batch_size,
            mean=(0.5,) * image_shape[-1],
            std=(0.25,) * image_shape[-1],
            prune_fraction=0.2,
        )
        state = create_state(
            recipe.model, recipe.optimizer, seed=0, image_shape=image_shape, peaks=[0.01]
        )
        self.state = state if with_masks else without_masks(state)
        self._epoch = jax.jit(partial(train_epoch, recipe), donate_argnums=0)

    def __call__(self) -> TrainState:
        self.state, _ = self._epoch(self.state, self._data, jnp.int32(2**30))
        return self.state


def without_masks(state: TrainState) -> TrainState:
    def kept_whole():
        return jax.tree.map(lambda _: jnp.ones((), bool), state.params)

    return state.replace(masks=kept_whole(), next_masks=kept_whole())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=[*NETWORKS], choices=[*NETWORKS])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--out")
    options = parser.parse_args()
    rows = []
    for network in options.networks:
        steps = NETWORKS[network][1]
        programs = {
            "masked": Epochs(network, options.batch_size),
            "unmasked": Epochs(network, options.batch_size, with_masks=False),
        }
        seconds = seconds_in_turn(programs, options.repeats)
        rows.append(
            {
                "network": network,
                "batch_size": options.batch_size,
                "masked_ms_per_step": 1e3 * statistics.median(seconds["masked"]) / steps,
                "unmasked_ms_per_step": 1e3 * statistics.median(seconds["unmasked"]) / steps,
                "masked_over_unmasked": median_ratio(seconds["masked"], seconds["unmasked"]),
                "its_quartiles": [
                    round(quartile, 3)
                    for quartile in ratio_quartiles(seconds["masked"], seconds["unmasked"])
                ],
            }
        )
    report(rows, options.out)


if __name__ == "__main__":
    main()
