"""A run in its directory: the config is checked, the directory prepared, every seed trained."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from silo_jax.data import check_data_name
from silo_jax.training.config import check_config
from silo_jax.training.events import require_tensorboard
from silo_jax.training.experiment import Experiment, load_experiment
from silo_jax.training.fork import check_fork, fork, held
from silo_jax.training.loop import run_seeds
from silo_jax.training.workdir import check_workdir, hold_workdir


def run(
    config: ConfigDict,
    workdir: str | Path,
    console: Console | None = None,
    source: str | Path | None = None,
    *,
    tensorboard: bool = False,
) -> Path:
    """Trains and prunes as the config says, or goes on where an earlier session stopped.

    Args:
      config: see ``silo_jax/base_config.py``.
      workdir: directory of the run; made when it is not there.
      console: where progress is shown; the terminal by default.
      source: directory of another run, of which a new one takes over the cycles that every seed has
        finished; see ``silo_jax.training.fork``.
      tensorboard: whether TensorBoard's event files are written; see ``silo_jax.training.events``.

    Returns:
      The directory, with ``config.json``, ``environment.json``, ``metrics.jsonl``, ``cycles.csv``,
      ``layers.csv``, ``schedule.csv`` and ``checkpoints/``.

    Raises:
      ValueError: see `prepared`; or tensorboardX is missing.
      OSError: a file cannot be read or written, or is damaged; one line.
    """
    if tensorboard:
        require_tensorboard()
    console = console or Console(stderr=True)
    with prepared(config, workdir, source) as experiment:
        run_seeds(experiment, Path(workdir), console, tensorboard=tensorboard)
    return Path(workdir)


def checked_experiment(config: ConfigDict, *, split_batches: bool = True) -> Experiment:
    """Checks a config, and reads its data.

    Args:
      config: see `silo_jax.base_config`.
      split_batches: see `load_experiment`.

    Raises:
      ValueError: a field of the config is not as it has to be; one line.
    """
    check_config(config)
    streamed = config.data.image_size > 0
    check_data_name(config.data.name, config.data.data_dir or None, streamed=streamed)
    return load_experiment(config, split_batches=split_batches)


@contextmanager
def prepared(
    config: ConfigDict, workdir: str | Path, source: str | Path | None = None
) -> Iterator[Experiment]:
    """Checks config and directory, reads the data, and holds the directory for this process.

    Args:
      config: see ``silo_jax/base_config.py``.
      workdir: directory of the run.
      source: see `run`.

    Raises:
      ValueError: a field of the config, or the directory, is not as it has to be; one line. Nothing
        has been written then.
    """
    check_config(config)
    check_workdir(Path(workdir), config)
    experiment = checked_experiment(config)
    forked = Path(source) if source else None
    cycles = check_fork(forked, Path(workdir), experiment)
    with ExitStack() as holding:
        if forked and cycles:
            holding.enter_context(held(forked))
        with hold_workdir(Path(workdir), config):
            cycles = check_fork(forked, Path(workdir), experiment)
            if forked and cycles:
                fork(forked, Path(workdir), experiment, cycles)
            holding.close()
            yield experiment
