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
from silo_jax.training.step import DeviceSplit, Recipe, train_epoch, train_step

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
        self.images, self._steps = steps * batch_size, steps
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
        self._step = jax.jit(partial(train_step, recipe), donate_argnums=0)
        self._batch = jax.tree.map(lambda all_images: all_images[:batch_size], self._data)

    def __call__(self) -> TrainState:
        self.state, _ = self._epoch(self.state, self._data, jnp.int32(2**30))
        return self.state

    @property
    def steps_taken(self) -> list[int]:
        """By the one network."""
        return [int(self.state.step)]

    def step_by_step(self) -> TrainState:
        """As many steps, each launched from the host, on the first images."""
        for _ in range(self._steps):
            self.state, _ = self._step(self.state, self._batch)
        return self.state


def without_masks(state: TrainState) -> TrainState:
    def kept_whole():
        return jax.tree.map(lambda _: jnp.ones((), bool), state.params)

    return state.replace(masks=kept_whole(), next_masks=kept_whole())
