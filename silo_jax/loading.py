"""A trained network for use in Python, by the directory of its run."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from silo_jax.exporting.network import TrainedNetwork


def load(
    directory: str | PathLike[str], *, cycle: int | None = None, seed: int | None = None
) -> "TrainedNetwork":
    """The network that a run has trained, as it was at the end of a cycle, before its prune.

    Nothing is written, so that the run may go on meanwhile. The data set is read only for runs
    older than ``network.json``. It needs what the experiments need: ``silo-jax[experiments]``.

    Args:
      directory: of a run, finished or not.
      cycle: from 0, the dense one; by default the last one that is finished.
      seed: one of the run's; by default the first.

    Returns:
      A `TrainedNetwork <silo_jax.exporting.network.TrainedNetwork>`: model, variables, masks, and
      what it takes to use them; ``network.logits(images)`` takes raw images.

    Raises:
      ValueError: no run is there, or it has no such cycle or seed; one line.
      OSError: the cycle's checkpoint is missing or damaged; one line.

    Example:
      >>> import silo_jax
      >>> network = silo_jax.load("runs/quickstart", cycle=9)  # doctest: +SKIP
      >>> model, variables, masks = network[:3]  # doctest: +SKIP
      >>> network.logits(images).argmax(-1)  # doctest: +SKIP
    """
    # Only now, so that schedules and masks can be used without flax and orbax.
    from silo_jax.exporting.network import load_network

    return load_network(Path(directory), cycle=cycle, seed=seed)
