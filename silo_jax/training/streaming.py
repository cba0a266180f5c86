"""Epochs over batches that are streamed from the host, for sets that the device cannot hold."""

from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax.data import EncodedData
from silo_jax.data.stream import (
    WHOLE,
    Batch,
    Batches,
    EvalBatches,
    Share,
    TrainBatches,
    stream,
)
from silo_jax.distributed import put_batches, state_shardings
from silo_jax.training.evaluation import evaluate_batch
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.state import Look, Sums, TrainState, no_sums
from silo_jax.training.step import DeviceSplit, Recipe, train_on_batches

_CHUNK_BYTES = 1 << 25
_MOST_BATCHES = 16  # in a chunk, as a request to stop is looked for between two of them


class StreamedEpochs:
    """Training and evaluation on batches from the host, as `Programs` does on splits in memory.

    Batches go to the device in chunks, on which one program trains. While it runs, the next chunk
    is put together and sent, and no further one: the device holds two at most.

    Args:
      recipe: what the program is made of.
      state: of any seed, for its shapes.
      train_batches: from a seed, 0 to 2**64 - 1, to the batches of all steps of a run.
      evaluations: by name, the batches of each split that is evaluated; they have a length.
      steps_per_epoch: batches in an epoch.
      workers: see `silo_jax.data.stream.stream`.
      stop: looked at between two chunks.
    """

    def __init__(
        self,
        recipe: Recipe,
        state: TrainState,
        *,
        train_batches: Callable[[int], Batches],
        evaluations: Mapping[str, Any],
        steps_per_epoch: int,
        workers: int,
        stop: StopRequest,
    ) -> None:
        self._recipe, self._steps_per_epoch = recipe, steps_per_epoch
        self._train_batches, self._evaluations = train_batches, evaluations
        self._workers, self._stop = workers, stop
        self._stream: Generator[Batch, None, None] | None = None
        self._next: tuple[int, int] | None = None  # seed and step of its next batch
        first = train_batches(_seed(state))[0]
        self._chunk_size = min(_MOST_BATCHES, max(1, _CHUNK_BYTES // first.images.nbytes))
        train = jax.jit(
            train_on_batches,
            static_argnums=0,
            donate_argnums=1,
            out_shardings=(state_shardings(recipe.mesh, state), None),
        )
        self._train = train.lower(recipe, state, self._chunk([first]), jnp.int32(0)).compile()
        score = jax.jit(evaluate_batch, static_argnums=0, donate_argnums=2)
        self._score = {
            split: score.lower(recipe, state, no_sums(), *self._scored(batches[0])).compile()
            for split, batches in evaluations.items()
        }

    def train(
        self, state: TrainState, stop: int, look: Look | None = None
    ) -> tuple[TrainState, Sums]:
        """Trains up to step ``stop``, which lies in the same epoch; the state is used up.

        It comes back sooner when the loss is not finite or the process is asked to stop. Between
        two chunks ``look`` is told how far it is.
        """
        step = int(state.step)
        if step % self._recipe.steps_per_cycle % self._steps_per_epoch == 0:
            state = state.replace(sums=no_sums())
        sums = state.sums
        for chunk, num_batches in self._chunks(state, step, stop):
            if self._stop.signum is not None or not np.isfinite(sums.loss):
                break
            if look is not None and sums.examples:
                look(step, sums)
            state, sums = self._train(state, chunk, jnp.int32(num_batches))
            step += num_batches
        return state, sums

    def evaluate(self, state: TrainState, split: str) -> Sums:
        """Sums over one of the evaluations."""
        batches, sums = self._evaluations[split], no_sums()
        for batch in stream(batches, range(len(batches)), workers=self._workers):
            scored = self._scored(batch)
            jax.block_until_ready(sums)
            sums = self._score[split](state, sums, *scored)
        return sums

    def close(self) -> None:
        """Ends the workers."""
        if self._stream is not None:
            self._stream.close()
        self._stream = self._next = None

    def _chunks(self, state: TrainState, step: int, stop: int) -> Iterator[tuple[DeviceSplit, int]]:
        """Yields chunks on the device, and how many batches are in each, up to step ``stop``."""
        per_cycle, repeats = self._recipe.steps_per_cycle, self._recipe.repeat_data
        seed, end = _seed(state), per_cycle * (1 if repeats else len(state.peaks))
        while step < stop:
            num_batches = min(self._chunk_size, stop - step)
            data_step = step % per_cycle if repeats else step
            if self._stream is None or self._next != (seed, data_step):
                self.close()
                steps = range(data_step, end)
                self._stream = stream(self._train_batches(seed), steps, workers=self._workers)
            batches = list(islice(self._stream, num_batches))
            self._next, step = (seed, data_step + num_batches), step + num_batches
            yield self._chunk(batches), num_batches

    def _chunk(self, batches: list[Batch]) -> DeviceSplit:
        """Batches as one array on the device, always of the same shape: the last may be unused."""
        images, labels = (
            np.zeros((self._chunk_size, *each.shape), each.dtype) for each in batches[0][:2]
        )
        for position, batch in enumerate(batches):
            images[position], labels[position] = batch.images, batch.labels
        return DeviceSplit(*put_batches(self._recipe.mesh, (images, labels), 1))

    def _scored(self, batch: Batch) -> tuple[DeviceSplit, jax.Array]:
        images, labels, weights = put_batches(self._recipe.mesh, tuple(batch), 0)
        return DeviceSplit(images, labels), weights


def streamed_epochs(
    recipe: Recipe,
    state: TrainState,
    data: EncodedData,
    *,
    image_size: int,
    eval_batch_size: int,
    workers: int,
    stop: StopRequest,
    min_area: float = 0.08,
    share: Share = WHOLE,
) -> StreamedEpochs:
    """Epochs over a set that stays on disk, evaluated on "val" and "test".

    Args:
      recipe: with the batch size.
      state: of any seed, for its shapes.
      data: from `silo_jax.data.open_data`.
      image_size: side to which images are brought, in pixels.
      eval_batch_size: images evaluated at a time.
      workers: see `silo_jax.data.stream.stream`.
      stop: see `StreamedEpochs`.
      min_area: see `silo_jax.data.stream.TrainBatches`.
      share: of every batch that this process reads.
    """

    def train_batches(seed: int) -> TrainBatches:
        return TrainBatches(
            data.train,
            image_size=image_size,
            batch_size=recipe.batch_size,
            seed=seed,
            steps_per_cycle=recipe.steps_per_cycle,
            min_area=min_area,
            share=share,
        )

    return StreamedEpochs(
        recipe,
        state,
        train_batches=train_batches,
        evaluations={
            name: EvalBatches(split, image_size, eval_batch_size, share)
            for name, split in (("val", data.validation), ("test", data.test))
        },
        steps_per_epoch=train_batches(0).steps_per_epoch,
        workers=workers,
        stop=stop,
    )


def _seed(state: TrainState) -> int:
    """The key of a run as one number."""
    low, high = np.asarray(state.rng).tolist()
    return low + (high << 32)
