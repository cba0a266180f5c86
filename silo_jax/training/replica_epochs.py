"""Training and evaluation of several networks at once, on data that lies on the device whole."""

import time
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from silo_jax.training.evaluation import evaluate
from silo_jax.training.experiment import DeviceData, Experiment
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.programs import epochs_of
from silo_jax.training.replicas import (
    over_replicas,
    recipe_of_replicas,
    replica,
    replica_shardings,
    stack,
)
from silo_jax.training.state import Sums, TrainState
from silo_jax.training.step import DeviceSplit, Recipe, train_epoch
from silo_jax.training.streaming import StreamedEpochs

_SECONDS_BETWEEN_LOOKS = 1.0  # for a request to stop


class ReplicaEpochs:
    """The programs of an epoch over stacked states, each compiled ahead.

    Args:
      recipe: of a single network.
      states: stacked, for their shapes.
      train: split to train on.
      evaluations: by name, the splits that are evaluated.
      eval_batch_size: images evaluated at a time.
      strategy: see `silo_jax.training.replicas.over_replicas`.
      stop: looked at about once a second while training.
    """

    def __init__(
        self,
        recipe: Recipe,
        states: TrainState,
        *,
        train: DeviceSplit,
        evaluations: dict[str, DeviceSplit],
        eval_batch_size: int,
        strategy: str,
        stop: StopRequest,
    ) -> None:
        self._stop, self._steps_per_second = stop, 1.0
        num_replicas = states.step.shape[0]
        recipe = recipe_of_replicas(recipe, strategy, num_replicas)
        self._stacked, shared = replica_shardings(strategy, num_replicas)
        self._data, self._evaluations = jax.device_put((train, evaluations), shared)

        def to_stop(one: tuple[TrainState, jax.Array], data: DeviceSplit) -> Any:
            return train_epoch(recipe, one[0], data, one[1])

        def score(state: TrainState, data: DeviceSplit) -> Sums:
            return evaluate(recipe, eval_batch_size, state, data)

        def compiled(program: Any, mapped: Any, data: DeviceSplit, **options: Any) -> Any:
            over_all = over_replicas(strategy, program, num_replicas)
            placed: Any = {"in_shardings": (self._stacked, shared), "out_shardings": self._stacked}
            return jax.jit(over_all, **placed, **options).lower(mapped, data).compile()

        self._train = compiled(to_stop, (states, states.step), self._data, donate_argnums=0)
        self._score = {
            split: compiled(score, states, data) for split, data in self._evaluations.items()
        }

    def train(self, states: TrainState, stops: NDArray[np.int32]) -> tuple[TrainState, Sums]:
        """Trains each up to its own step, all in the same epoch; the states are used up.

        A replica stays behind when its loss is not finite; all do when the process is asked to
        stop.

        Args:
          states: stacked.
          stops: global steps, shape (replicas,); 0 for those that are not to be trained.
        """
        states = self._placed(states)
        steps, sums = np.asarray(states.step), states.sums
        while (steps < stops).any() and self._stop.signum is None:
            chunk = max(1, round(self._steps_per_second * _SECONDS_BETWEEN_LOOKS))
            until = np.minimum(stops, steps + chunk).astype(np.int32)
            started = time.perf_counter()
            states, sums = self._train((states, until), self._data)
            reached = np.asarray(states.step)
            self._steps_per_second = float(np.max(reached - steps)) / (
                time.perf_counter() - started
            )
            stops = np.where(reached < until, 0, stops)
            steps = reached
        return states, sums

    def evaluate(self, states: TrainState, split: str) -> Sums:
        """Sums over one of the evaluations, an entry a replica."""
        return self._score[split](self._placed(states), self._evaluations[split])

    def close(self) -> None:
        """There is nothing to end."""

    def _placed(self, states: TrainState) -> TrainState:
        """The states where the programs have them, as those are that come out of one."""
        shardings = (getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(states))
        if all(sharding == self._stacked for sharding in shardings):
            return states
        return jax.device_put(states, self._stacked)


class StreamedReplica:
    """As `ReplicaEpochs`, for a single replica on data that is streamed."""

    def __init__(self, epochs: StreamedEpochs) -> None:
        self._epochs = epochs

    def train(self, states: TrainState, stops: NDArray[np.int32]) -> tuple[TrainState, Sums]:
        """See `ReplicaEpochs.train`."""
        state, sums = self._epochs.train(replica(states, 0), int(stops[0]))
        return stack([state]), stack([sums])

    def evaluate(self, states: TrainState, split: str) -> Sums:
        """See `ReplicaEpochs.evaluate`."""
        return stack([self._epochs.evaluate(replica(states, 0), split)])

    def close(self) -> None:
        """Ends the processes that read data."""
        self._epochs.close()


def make_epochs(
    experiment: Experiment, states: TrainState, strategy: str, stop: StopRequest
) -> ReplicaEpochs | StreamedReplica:
    """The programs of an epoch for stacked states of an experiment."""
    data = experiment.data
    if not isinstance(data, DeviceData):
        epochs = epochs_of(experiment, replica(states, 0), stop)
        assert isinstance(epochs, StreamedEpochs)
        return StreamedReplica(epochs)
    return ReplicaEpochs(
        experiment.recipe,
        states,
        train=data.train,
        evaluations={"val": data.validation, "test": data.test},
        eval_batch_size=experiment.config.training.eval_batch_size,
        strategy=strategy,
        stop=stop,
    )
