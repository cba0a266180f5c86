"""The compiled programs of an experiment: train, evaluate, and start the next cycle."""

from functools import partial

import jax

from silo_jax.data import EncodedData
from silo_jax.data.stream import Share
from silo_jax.training.experiment import Experiment
from silo_jax.training.in_memory import InMemoryEpochs
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.next_cycle import NextCycle
from silo_jax.training.state import Look, Sums, TrainState, all_finite
from silo_jax.training.step import learning_rate
from silo_jax.training.streaming import StreamedEpochs, streamed_epochs


class Programs:
    """The programs of an experiment.

    Those of an epoch are compiled ahead, so that no epoch's time has it in; a call that would need
    another program is an error.
    """

    def __init__(self, experiment: Experiment, stop: StopRequest) -> None:
        self._stop, recipe = stop, experiment.recipe
        state = experiment.create_state(experiment.config.seeds[0])
        self._epochs = epochs_of(experiment, state, stop)
        self._is_finite = jax.jit(all_finite)
        self.learning_rate = jax.jit(partial(learning_rate, recipe))
        self.next_cycle = NextCycle(experiment, state)

    def train(
        self, state: TrainState, stop: int, look: Look | None = None
    ) -> tuple[TrainState, Sums]:
        """Trains to the end of the epoch or to ``stop``; the state handed in is used up.

        It comes back sooner when the loss is not finite or the process is asked to stop, which it
        looks for about once a second; ``look`` is told then how far it is.
        """
        return self._epochs.train(state, stop, look)

    def close(self) -> None:
        """Ends the processes that read data, if there are any."""
        self._epochs.close()

    def is_finite(self, state: TrainState) -> bool:
        """Whether the loss of the epoch so far, the weights and the statistics are finite."""
        return bool(self._is_finite(state))

    def stop_if_asked(self) -> None:
        """Raises Stopped if the process was asked to stop."""
        self._stop.raise_if_asked()

    def evaluate(self, state: TrainState, split: str) -> dict[str, float]:
        """Mean loss and accuracy in per cent on "val" or "test"."""
        return means(split, self._epochs.evaluate(state, split))


def epochs_of(
    experiment: Experiment, state: TrainState, stop: StopRequest
) -> InMemoryEpochs | StreamedEpochs:
    """The programs of an epoch, for data in memory or streamed."""
    config, data = experiment.config, experiment.data
    if isinstance(data, EncodedData):
        return streamed_epochs(
            experiment.recipe,
            state,
            data,
            image_size=config.data.image_size,
            eval_batch_size=config.training.eval_batch_size,
            workers=config.data.workers,
            stop=stop,
            min_area=config.data.min_area,
            share=Share(jax.process_index(), jax.process_count()),
        )
    return InMemoryEpochs(
        experiment.recipe,
        state,
        train=data.train,
        evaluations={"val": data.validation, "test": data.test},
        eval_batch_size=config.training.eval_batch_size,
        stop=stop,
    )


def means(prefix: str, sums: Sums) -> dict[str, float]:
    """Mean loss, and accuracy in per cent, under the names of the result files."""
    count = int(sums.examples)
    return {
        f"{prefix}_loss": round(float(sums.loss) / count, 6),
        f"{prefix}_accuracy": round(100 * int(sums.correct) / count, 4),
    }
