"""Small networks trained as replicas through two cycles, and each of them by itself."""

from functools import cache, partial
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from silo_jax.models.conv import Conv
from silo_jax.rewinding import rewind_lr
from silo_jax.training.in_memory import InMemoryEpochs
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.replica_epochs import ReplicaEpochs
from silo_jax.training.replicas import replica, stack
from silo_jax.training.state import Sums, TrainState
from silo_jax.training.step import Recipe, steps_in_epoch
from tests.tiny import NUM_IMAGES, tiny_data, tiny_recipe, tiny_state

NUM_CYCLES = 2
HUGE = 1e30
PROGRAMS = {
    "train": tiny_data(),
    "evaluations": {"test": tiny_data(1)},
    "eval_batch_size": 8,
    "stop": StopRequest(),
}


class WithConvolutions(nn.Module):
    """A network that has convolutions and BatchNorm."""

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int = 3

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = Conv(4, (3, 3), padding=1)(images)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        x = nn.relu(Conv(5, (3, 3), strides=2, padding=1)(x))
        return nn.Dense(self.num_classes)(x.reshape(x.shape[0], -1))


RECIPES = {
    "mlp": {"drop_last": False},
    "convolutions": {"model": WithConvolutions(), "crop_padding": 1, "flip": True},
}


class Trained(NamedTuple):
    """States at the end of the last cycle, and sums over other images."""

    state: TrainState
    scores: Sums


@cache
def recipe_of(name: str) -> Recipe:
    return tiny_recipe(**RECIPES[name])


def start(recipe: Recipe, seed: int, peak: float) -> TrainState:
    """The state before the first step, with peaks that go down from the one given."""
    state = tiny_state(recipe, seed)
    return state.replace(peaks=np.array([peak, peak / 3], np.float32))


def train_alone(name: str, seed: int, peak: float) -> Trained:
    """One network by itself, with the programs of a run."""
    recipe, epochs = recipe_of(name), _epochs_alone(name)
    state = _through_cycles(recipe, epochs, start(recipe, seed, peak), partial(_next, recipe))
    return jax.device_get(Trained(state, epochs.evaluate(state, "test")))


def replicas_of(recipe: Recipe, states: list[TrainState], strategy: str) -> ReplicaEpochs:
    """The programs for so many networks at once."""
    return ReplicaEpochs(recipe, stack(states), strategy=strategy, **PROGRAMS)


def train_together(
    recipe: Recipe, epochs: ReplicaEpochs, states: list[TrainState], living: list[bool]
) -> list[Trained]:
    """Networks as replicas; those that are not living only fill the group up."""
    state = _through_cycles(
        recipe, epochs, stack(states), jax.vmap(partial(_next, recipe)), np.array(living)
    )
    trained = jax.device_get(Trained(state, epochs.evaluate(state, "test")))
    return [replica(trained, i) for i in range(len(states))]


@cache
def _epochs_alone(name: str) -> InMemoryEpochs:
    recipe = recipe_of(name)
    return InMemoryEpochs(recipe, start(recipe, 0, 0.1), **PROGRAMS)


def _through_cycles(
    recipe: Recipe, epochs: Any, state: TrainState, next_cycle: Any, living: Any = None
) -> TrainState:
    per_epoch = steps_in_epoch(NUM_IMAGES, recipe.batch_size, drop_last=recipe.drop_last)
    for cycle in range(NUM_CYCLES):
        state = next_cycle(state) if cycle else state
        start, end = cycle * recipe.steps_per_cycle, (cycle + 1) * recipe.steps_per_cycle
        for stop in (*range(start + per_epoch, end, per_epoch), end):
            stops = stop if living is None else np.where(living, stop, 0)
            state, _ = epochs.train(state, stops)
    return state


def _next(recipe: Recipe, state: TrainState) -> TrainState:
    return rewind_lr(state, recipe.optimizer)
