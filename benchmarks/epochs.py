"""Epochs of a network on random images, as the benchmarks time them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax import shapes
from silo_jax.models import create_model
from silo_jax.training.optimizer import make_optimizer
from silo_jax.training.state import TrainState, create_state
from silo_jax.training.step import DeviceSplit, Recipe, train_epoch

_IMAGE_SHAPES = {"lenet_300_100": (28, 28, 1), "vit_b16": (224, 224, 3)}
_NUM_CLASSES = {"vit_b16": 1000}


class Epochs:
    """An epoch of a network, called again and again, with or without masks.

    Args:
      network: its name.
      batch_size: images in a step.
      steps: of the epoch.
      with_masks: whether the step has masks.
      **options: of the network.
    """

    def __init__(
        self, network: str, batch_size: int, steps: int, *, with_masks: bool = True, **options: Any
    ) -> None:
        self.images, self._batch_size = steps * batch_size, batch_size
        num_classes = _NUM_CLASSES.get(network, 10)
        image_shape = _IMAGE_SHAPES.get(network, (32, 32, 3))
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (self.images, *image_shape), dtype=np.uint8)
        labels = random.integers(0, num_classes, self.images)
        self._data = DeviceSplit(jnp.asarray(images), jnp.asarray(labels))
        recipe = Recipe(
            model=create_model(network, num_classes=num_classes, **options),
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
        return self.train_to(2**30)

    def step_by_step(self) -> TrainState:
        """The same epoch, each step launched from the host."""
        first, steps = int(self.state.step), self.images // self._batch_size
        for step in range(first + 1, first + 1 + steps):
            self.train_to(step)
        return self.state

    def train_to(self, stop: int) -> TrainState:
        """Trains up to a step, or to the end of the epoch."""
        self.state, _ = self._epoch(self.state, self._data, jnp.int32(stop))
        return self.state


def without_masks(state: TrainState) -> TrainState:
    def kept_whole():
        return jax.tree.map(lambda _: jnp.ones((), bool), state.params)

    return state.replace(masks=kept_whole(), next_masks=kept_whole())
