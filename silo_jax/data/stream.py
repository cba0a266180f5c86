"""Batches of images that stay on disk: decoded, cropped and resized as they are needed.

A batch is a function of seed and step alone, so a stream may begin at any step, on any number of
workers and processes, and gives what one from the start would have given.
"""

import functools
import os
import signal
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from silo_jax.checks import require, require_int
from silo_jax.data.crops import Box, central_box, random_box
from silo_jax.data.encoded import EncodedSplit

_ORDER, _CROP = 0, 1  # what random numbers are drawn for


class Batch(NamedTuple):
    """Images of one size, on the host.

    Attributes:
      images: uint8, of shape (b, size, size, 3).
      labels: int32, of shape (b,).
      weights: bool, of shape (b,): False for what only fills up the last batch of an evaluation.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


class Batches(Protocol):
    """Batches by number."""

    def __getitem__(self, step: int, /) -> Batch: ...


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several processes reads.

    Attributes:
      index: of the process, from 0.
      count: number of processes; the batch size is a multiple of it.
    """

    index: int = 0
    count: int = 1

    def of(self, batch_size: int) -> range:
        """The rows of a batch that are this process's: those of process 0 come first."""
        size, rest = divmod(batch_size, self.count)
        if rest:
            raise ValueError(
                f"training.batch_size: {batch_size}; allowed: a multiple of the {self.count}"
                " processes, for training.eval_batch_size too"
            )
        return range(self.index * size, (self.index + 1) * size)


WHOLE = Share()


@dataclass(frozen=True)
class TrainBatches:
    """The training batches of all steps: each image cropped at random, once an epoch.

    Images are drawn without replacement in an order that depends on seed, cycle and epoch; what
    does not fill a batch sits the epoch out. An image's crop depends on these and on the image.

    Attributes:
      split: n images, at least ``batch_size``.
      image_size: side of the images in pixels.
      batch_size: images in a batch, over all processes.
      seed: from 0 to 2**64 - 1.
      steps_per_cycle: steps in a cycle, at the start of which an epoch begins.
      min_area: smallest share of an image's area that a crop has, in (0, 1].
      share: rows of the batch that are read here.
    """

    split: EncodedSplit
    image_size: int
    batch_size: int
    seed: int
    steps_per_cycle: int
    min_area: float = 0.08
    share: Share = WHOLE

    def __post_init__(self) -> None:
        require_int("data.image_size", self.image_size, minimum=1)
        require_int("training.batch_size", self.batch_size, minimum=1)
        require("data.min_area", self.min_area, lambda a: (a > 0) & (a <= 1), "in (0, 1]")
        if self.batch_size > len(self.split):
            raise ValueError(
                f"training.batch_size: {self.batch_size}; allowed: at most the {len(self.split)}"
                " training images"
            )
        self.share.of(self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.split) // self.batch_size

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, counted from 0 through all cycles."""
        cycle, step_in_cycle = divmod(step, self.steps_per_cycle)
        epoch, position = divmod(step_in_cycle, self.steps_per_epoch)
        key = (self.seed % 2**32, self.seed >> 32, cycle, epoch)
        order = _order(key, len(self.split))
        rows = self.share.of(self.batch_size)
        indices = order[position * self.batch_size :][rows.start : rows.stop]
        images = np.stack([self._cropped(key, int(index)) for index in indices])
        return Batch(images, self.split.labels[indices], np.ones(len(indices), bool))

    def _cropped(self, key: tuple[int, ...], index: int) -> np.ndarray:
        rng = np.random.default_rng([_CROP, *key, index])

        def box(width: int, height: int) -> Box:
            return random_box(rng, width, height, self.min_area)

        return self.split.decoded(index, self.image_size, box)


@dataclass(frozen=True)
class EvalBatches:
    """The batches of an evaluation: the centre of every image, in the order of the split.

    Attributes:
      split: n images, at least one.
      image_size: side of the images in pixels.
      batch_size: images in a batch, over all processes; the last one is filled up with black images
        of weight False.
      share: rows of the batch that are read here.
    """

    split: EncodedSplit
    image_size: int
    batch_size: int
    share: Share = WHOLE

    def __post_init__(self) -> None:
        require_int("data.image_size", self.image_size, minimum=1)
        require_int("training.eval_batch_size", self.batch_size, minimum=1)
        self.share.of(self.batch_size)

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        """The batch of that number, from 0 to ``len(self) - 1``."""
        rows, first = self.share.of(self.batch_size), step * self.batch_size
        indices = range(first + rows.start, min(first + rows.stop, len(self.split)))
        images = np.zeros((len(rows), self.image_size, self.image_size, 3), np.uint8)
        labels, weights = np.zeros(len(rows), np.int32), np.zeros(len(rows), bool)
        for row, index in enumerate(indices):
            images[row] = self.split.decoded(index, self.image_size, central_box)
            labels[row], weights[row] = self.split.labels[index], True
        return Batch(images, labels, weights)


def stream(batches: Batches, steps: range, *, workers: int = 0) -> Generator[Batch, None, None]:
    """Yields the batches of those steps in order, the next ones made while one is used.

    Closing the generator ends threads and workers.

    Args:
      batches: picklable where there are workers.
      steps: numbers of the batches.
      workers: processes that make batches; 0 makes them by threads of this process. Processes are
        started anew, so a script that uses them needs ``if __name__ == "__main__":``.

    Raises:
      ValueError: ``workers`` is negative.
      RuntimeError: an image cannot be read, with what and where it is.

    Example:
      >>> from silo_jax.data.stream import stream
      >>> list(stream("abcdef", range(2, 5)))
      ['c', 'd', 'e']
    """
    require_int("data.workers", workers, minimum=0)
    return _streamed(batches, steps, workers)


def _streamed(batches: Batches, steps: range, workers: int) -> Generator[Batch, None, None]:
    import grain
    from absl import flags

    threads = 2 if workers else os.cpu_count() or 1
    dataset = grain.MapDataset.source(_Steps(batches, steps)).to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    )
    if workers:
        if not flags.FLAGS.is_parsed():  # not under absl's app.run: grain reads flags of its own
            flags.FLAGS.mark_as_parsed()
        options = grain.MultiprocessingOptions(num_workers=workers)
        dataset = dataset.mp_prefetch(options, worker_init_fn=_ignore_interrupts)
    iterator = iter(dataset)
    try:
        for batch in iterator:
            # Workers hand over shared memory, which is gone when they are.
            yield Batch(*map(np.array, batch)) if workers else batch
    finally:
        iterator.close()


def _ignore_interrupts(*_: int) -> None:
    """In a worker: Ctrl-C goes to all processes of a terminal, and is for the one that trains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class _Steps:
    """The batches of some steps, as grain reads them."""

    batches: Batches
    steps: range

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: Any) -> Batch:
        return self.batches[self.steps[index]]


@functools.lru_cache(maxsize=2)
def _order(key: tuple[int, ...], num_images: int) -> np.ndarray:
    """The order of an epoch; with that of the next one, the only ones kept."""
    return np.random.default_rng([_ORDER, *key]).permutation(num_images)
