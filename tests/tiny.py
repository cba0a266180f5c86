"""A small experiment on the digits, and a small train recipe, that several tests share."""

from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict
from rich.console import Console

from silo_jax import shapes
from silo_jax.base_config import base_config
from silo_jax.models import create_model
from silo_jax.training.optimizer import make_optimizer
from silo_jax.training.run import run
from silo_jax.training.state import TrainState, create_state
from silo_jax.training.step import DeviceSplit, Recipe

STEPS_PER_CYCLE = 6
NUM_IMAGES, BATCH_SIZE = 21, 4


def tiny_config(**fields: Any) -> ConfigDict:
    """Two cycles of two epochs on the digits; fields by dotted name with ``__`` for the dot."""
    config = base_config()
    config.model.name = "mlp"
    config.model.hidden = (16,)
    config.pruning.num_cycles = 2
    config.training.epochs_per_cycle = 2
    config.training.batch_size = 64
    if fields.get("model__name", "mlp") != "mlp":
        del config.model.hidden
    for name, value in fields.items():
        section, _, field = name.rpartition("__")
        (config[section] if section else config)[field] = value
    return config


def run_quietly(config: ConfigDict, workdir: Path) -> Path:
    return run(config, workdir, Console(quiet=True))


def tiny_recipe(optimizer: str = "sgd", **changes: Any) -> Recipe:
    """Cycles of 6 steps, 5 steps an epoch, half the weights pruned at the end of a cycle."""
    settings: dict[str, Any] = {
        "model": create_model("mlp", num_classes=3, hidden=(7,)),
        "optimizer": make_optimizer(optimizer, weight_decay=0.1, momentum=0.9),
        "shape": shapes.constant(),
        "steps_per_cycle": STEPS_PER_CYCLE,
        "batch_size": BATCH_SIZE,
        "mean": (0.5,),
        "std": (0.25,),
        "prune_fraction": 0.5,
    }
    return Recipe(**settings | changes)


class WithStatistics(nn.Module):
    """A network that has BatchNorm."""

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int = 3

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = nn.Dense(7)(images.reshape(images.shape[0], -1))
        return nn.Dense(self.num_classes)(nn.BatchNorm(use_running_average=not train)(x))


def tiny_state(recipe: Recipe, seed: int = 0) -> TrainState:
    return create_state(
        recipe.model, recipe.optimizer, seed=seed, image_shape=(4, 4, 1), peaks=[0.1, 0.2, 0.3]
    )


def tiny_data(seed: int = 0) -> DeviceSplit:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (NUM_IMAGES, 4, 4, 1), dtype=np.uint8)
    return DeviceSplit(jnp.asarray(images), jnp.asarray(random.integers(0, 3, NUM_IMAGES)))


def assert_identical(left: Any, right: Any) -> None:
    """The same structure, dtypes and bits."""
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
