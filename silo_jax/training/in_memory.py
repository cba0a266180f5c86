"""Epochs over data that lies on the device whole."""

import time
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax.distributed import largest, state_shardings
from silo_jax.training.evaluation import evaluate
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.state import Look, Sums, TrainState
from silo_jax.training.step import DeviceSplit, Recipe, train_epoch

_SECONDS_BETWEEN_LOOKS = 1.0  # for a request to stop


class InMemoryEpochs:
    """Training and evaluation, each one program that is compiled ahead.

    Args:
      recipe: what the program is made of.
      state: of any seed, for its shapes.
      train: split to train on.
      evaluations: by name, the splits that are evaluated.
      eval_batch_size: images evaluated at a time.
      stop: looked at about once a second while training.
    """

    def __init__(
        self,
        recipe: Recipe,
        state: TrainState,
        *,
        train: DeviceSplit,
        evaluations: Mapping[str, DeviceSplit],
        eval_batch_size: int,
        stop: StopRequest,
    ) -> None:
        self._stop, self._steps_per_second = stop, 1.0
        self._data, self._evaluations = train, evaluations
        program = jax.jit(
            train_epoch,
            static_argnums=0,
            donate_argnums=1,
            out_shardings=(state_shardings(recipe.mesh, state), None),
        )
        self._train = program.lower(recipe, state, train, jnp.zeros((), jnp.int32)).compile()
        score = jax.jit(evaluate, static_argnums=(0, 1))
        self._score = {
            split: score.lower(recipe, eval_batch_size, state, data).compile()
            for split, data in evaluations.items()
        }

    def train(
        self, state: TrainState, stop: int, look: Look | None = None
    ) -> tuple[TrainState, Sums]:
        """Trains up to step ``stop``, which lies in the same epoch; the state is used up.

        It comes back sooner when the loss is not finite or the process is asked to stop. About
        once a second ``look`` is told how far it is.
        """
        step, sums = int(state.step), state.sums
        while step < stop and self._stop.signum is None:
            steps_between_looks = round(self._steps_per_second * _SECONDS_BETWEEN_LOOKS)
            until = min(stop, step + max(1, largest(steps_between_looks)))
            started = time.perf_counter()
            state, sums = self._train(state, self._data, jnp.asarray(until, jnp.int32))
            reached = int(state.step)
            self._steps_per_second = (reached - step) / (time.perf_counter() - started)
            step = reached
            if step < until or not np.isfinite(sums.loss):
                break
            if look is not None:
                look(step, sums)
        return state, sums

    def evaluate(self, state: TrainState, split: str) -> Sums:
        """Sums over one of the evaluations."""
        return self._score[split](state, self._evaluations[split])

    def close(self) -> None:
        """There is nothing to end."""
