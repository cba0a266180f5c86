"""Several networks as replicas of one program, against the same ones trained one by one.

    python -m benchmarks.replicas --out=benchmarks/results/replicas.json

Each network is trained for an epoch and evaluated, on random images, with a seed and a max_lr of
its own: as replicas with `silo_jax.training.replica_epochs.ReplicaEpochs`, and in turn with the
programs of a run. "replicas_over_one_by_one" is the ratio of the two times. A study compiles the
programs of one of the two ways, once. Takes half an hour on two cores, most of it ResNet-20 under
"vmap", where XLA has no fast convolution for the CPU.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import (
    median_ratio,
    report,
    require_steps,
    rounded_quartiles,
    seconds_in_turn,
)
from silo_jax import shapes
from silo_jax.models import create_model
from silo_jax.training.in_memory import InMemoryEpochs
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.optimizer import make_optimizer
from silo_jax.training.replica_epochs import ReplicaEpochs
from silo_jax.training.replicas import STRATEGIES, default_strategy, stack
from silo_jax.training.state import TrainState, create_state
from silo_jax.training.step import DeviceSplit, Recipe


class Task(NamedTuple):
    """A network, and an epoch of it.

    Attributes:
      model: name and options of the network.
      image_shape: (height, width, channels).
      batch_size: images in a step.
      steps: of training in an epoch.
      num_scored: images that are evaluated after it.
    """

    model: dict[str, Any]
    image_shape: tuple[int, int, int]
    batch_size: int
    steps: int
    num_scored: int


# The first is that of configs/quickstart.py, on as many images as the digits have.
ON_CPU = {
    "quickstart": Task({"name": "mlp", "hidden": (48, 24)}, (8, 8, 1), 16, 76, 216),
    "lenet_300_100": Task({"name": "lenet_300_100"}, (28, 28, 1), 128, 50, 1000),
    "resnet20": Task({"name": "resnet20"}, (32, 32, 3), 16, 2, 32),
}
# The others would leave it idle.
ON_ACCELERATOR = {
    "resnet20_128": Task({"name": "resnet20"}, (32, 32, 3), 128, 256, 500),
}


TASKS = ON_CPU | ON_ACCELERATOR


class Networks:
    """Networks of a task that differ in seed and max_lr, and the programs to train them.

    Args:
      task: what they are and do.
      num_replicas: how many there are.
      strategy: see `silo_jax.training.replicas.over_replicas`; "" for one by one.
    """

    def __init__(self, task: Task, num_replicas: int, strategy: str) -> None:
        recipe = _recipe(task)
        self.states: Any = [_state(task, recipe, seed) for seed in range(num_replicas)]
        settings: dict[str, Any] = {
            "train": _images(task, task.steps * task.batch_size),
            "evaluations": {"test": _images(task, task.num_scored)},
            "eval_batch_size": 500,
            "stop": StopRequest(),
        }
        self._epochs: Any
        self._steps, self._are_stacked = task.steps, bool(strategy)
        started = time.perf_counter()
        if strategy:
            self.states = stack(self.states)
            self._epochs = ReplicaEpochs(recipe, self.states, strategy=strategy, **settings)
        else:
            self._epochs = InMemoryEpochs(recipe, self.states[0], **settings)
        self.compile_seconds = time.perf_counter() - started

    def __call__(self) -> Any:
        """An epoch of every network, and its evaluation."""
        if self._are_stacked:
            self.states, sums = self._epoch(self.states)
            return sums
        trained = [self._epoch(state) for state in self.states]
        self.states = [state for state, _ in trained]
        return [sums for _, sums in trained]

    @property
    def steps_taken(self) -> list[int]:
        """By each network."""
        states = self.states.step if self._are_stacked else [one.step for one in self.states]
        return [int(step) for step in states]

    def _epoch(self, state: TrainState) -> tuple[TrainState, Any]:
        state, _ = self._epochs.train(state, np.asarray(state.step) + self._steps)
        return state, jax.device_get(self._epochs.evaluate(state, "test"))


def measure(name: str, strategy: str, num_replicas: int, repeats: int) -> dict[str, Any]:
    """Times of one number of replicas, as a row."""
    task = TASKS[name]
    programs: dict[str, Networks] = {
        way: Networks(task, num_replicas, strategy if way == "replicas" else "")
        for way in ("replicas", "one by one")
    }
    calls: dict[str, Callable[[], Any]] = dict(programs)
    seconds = seconds_in_turn(calls, repeats)
    for way, program in programs.items():
        require_steps(way, program.steps_taken, (repeats + 1) * task.steps)
    together, alone = seconds["replicas"], seconds["one by one"]
    return {
        "network": name,
        "strategy": strategy,
        "replicas": num_replicas,
        "replicas_ms_per_step": _ms_per_step(together, task, num_replicas),
        "one_by_one_ms_per_step": _ms_per_step(alone, task, num_replicas),
        "replicas_over_one_by_one": median_ratio(together, alone),
        "its_quartiles": rounded_quartiles(together, alone),
        "replicas_compile_seconds": programs["replicas"].compile_seconds,
        "one_by_one_compile_seconds": programs["one by one"].compile_seconds,
    }


def _ms_per_step(seconds: list[float], task: Task, num_replicas: int) -> float:
    """Of one network, its share of the evaluation included."""
    return 1e3 * statistics.median(seconds) / (task.steps * num_replicas)


def _recipe(task: Task) -> Recipe:
    channels = task.image_shape[-1]
    return Recipe(
        model=create_model(num_classes=10, **task.model),
        optimizer=make_optimizer("sgd", weight_decay=5e-4),
        shape=shapes.constant(),
        steps_per_cycle=2**30,
        batch_size=task.batch_size,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        prune_fraction=0.2,
    )


def _state(task: Task, recipe: Recipe, seed: int) -> TrainState:
    return create_state(
        recipe.model,
        recipe.optimizer,
        seed=seed,
        image_shape=task.image_shape,
        peaks=[0.001 * (1 + seed)],
    )


def _images(task: Task, number: int) -> DeviceSplit:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (number, *task.image_shape), dtype=np.uint8)
    return DeviceSplit(jnp.asarray(images), jnp.asarray(random.integers(0, 10, number)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = ON_CPU if jax.default_backend() == "cpu" else ON_ACCELERATOR
    parser.add_argument("--networks", nargs="*", default=[*default], choices=[*TASKS])
    strategies = [default_strategy(), *({"map", "vmap"} - {default_strategy()})]
    parser.add_argument("--strategies", nargs="*", default=strategies, choices=STRATEGIES)
    parser.add_argument("--replicas", nargs="*", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out")
    options = parser.parse_args()
    cases = itertools.product(options.networks, options.strategies, options.replicas)
    report((measure(*case, options.repeats) for case in cases), options.out)


if __name__ == "__main__":
    main()
