"""The compiled programs of an experiment: train, evaluate, and start the next cycle."""

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax.rewinding import finetune, reinit, rewind_lr, rewind_weights
from silo_jax.training.experiment import Experiment
from silo_jax.training.interrupts import Stopped, StopRequest
from silo_jax.training.state import Sums, TrainState, init_network
from silo_jax.training.step import all_finite, evaluate, learning_rate, train_epoch

_SECONDS_BETWEEN_LOOKS = 1.0  # for a request to stop


class Programs:
    """The programs of an experiment.

    Those of an epoch are compiled ahead, so that no epoch's time has it in; a call that would need
    another program is an error.
    """

    def __init__(self, experiment: Experiment, stop: StopRequest) -> None:
        self._stop, self._steps_per_second = stop, 1.0
        recipe, state = experiment.recipe, experiment.create_state(experiment.config.seeds[0])
        train = jax.jit(train_epoch, static_argnums=0, donate_argnums=1)
        score = jax.jit(evaluate, static_argnums=(0, 1))
        batch_size, step = experiment.config.training.eval_batch_size, jnp.zeros((), jnp.int32)
        self._train = train.lower(recipe, state, experiment.train, step).compile()
        self._train_data = experiment.train
        self._score, self._data = {}, {"val": experiment.validation, "test": experiment.test}
        for split, data in self._data.items():
            self._score[split] = score.lower(recipe, batch_size, state, data).compile()
        self._is_finite = jax.jit(all_finite)
        self.learning_rate = jax.jit(partial(learning_rate, recipe))
        rewind = experiment.config.rewind
        kept: Any = {"optimizer": recipe.optimizer, "reset_optimizer": rewind.optimizer}
        back = kept | {"rewind_batch_stats": rewind.batch_stats}
        init = partial(init_network, recipe.model, experiment.image_shape)
        self.rewind_weights = jax.jit(partial(rewind_weights, **back))
        self.rewind_lr = jax.jit(partial(rewind_lr, **kept))
        self.finetune = jax.jit(partial(finetune, steps_per_cycle=recipe.steps_per_cycle, **kept))
        self.reinit = jax.jit(partial(reinit, init=init, **back))

    def train(self, state: TrainState, stop: int) -> tuple[TrainState, Sums]:
        """Trains to the end of the epoch or to ``stop``; the state handed in is used up.

        It comes back sooner when the loss is not finite or the process is asked to stop, which it
        looks for about once a second.
        """
        step, sums = int(state.step), state.sums
        while step < stop and self._stop.signum is None:
            steps_between_looks = round(self._steps_per_second * _SECONDS_BETWEEN_LOOKS)
            until = min(stop, step + max(1, steps_between_looks))
            started = time.perf_counter()
            state, sums = self._train(state, self._train_data, jnp.asarray(until, jnp.int32))
            reached = int(state.step)
            self._steps_per_second = (reached - step) / (time.perf_counter() - started)
            step = reached
            if step < until or not np.isfinite(sums.loss):
                break
        return state, sums

    def is_finite(self, state: TrainState) -> bool:
        """Whether the loss of the epoch so far, the weights and the statistics are finite."""
        return bool(self._is_finite(state))

    def stop_if_asked(self) -> None:
        """Raises Stopped if the process was asked to stop."""
        if self._stop.signum is not None:
            raise Stopped(self._stop.signum)

    def evaluate(self, state: TrainState, split: str) -> dict[str, float]:
        """Mean loss and accuracy in per cent on "val" or "test"."""
        return means(split, self._score[split](state, self._data[split]))


def means(prefix: str, sums: Sums) -> dict[str, float]:
    """Mean loss, and accuracy in per cent, under the names of the result files."""
    count = int(sums.examples)
    return {
        f"{prefix}_loss": round(float(sums.loss) / count, 6),
        f"{prefix}_accuracy": round(100 * int(sums.correct) / count, 4),
    }
