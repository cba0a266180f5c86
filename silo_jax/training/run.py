"""A run in its directory: the config is checked, the directory prepared, every seed trained."""

import json
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from silo_jax.data import check_data_name
from silo_jax.training.config import check_config, flatten
from silo_jax.training.experiment import Experiment, load_experiment
from silo_jax.training.loop import run_seeds
from silo_jax.training.results import write_json

# Where the data lies may change between the sessions of a run.
_PLACES = ("data_dir", "data.data_dir", "data.cache_dir")


def run(config: ConfigDict, workdir: str | Path, console: Console | None = None) -> Path:
    """Trains and prunes as the config says, or goes on where an earlier session stopped.

    Args:
      config: see ``configs/base.py``.
      workdir: directory of the run; made when it is not there.
      console: where progress is shown; the terminal by default.

    Returns:
      The directory, with ``config.json``, ``environment.json``, ``metrics.jsonl``, ``cycles.csv``,
      ``layers.csv``, ``schedule.csv`` and ``checkpoints/``.

    Raises:
      ValueError: see `prepare`.
    """
    experiment = prepare(config, workdir)
    run_seeds(experiment, Path(workdir), console or Console(stderr=True))
    return Path(workdir)


def prepare(config: ConfigDict, workdir: str | Path) -> Experiment:
    """Checks config and directory, reads the data, and makes the directory with ``config.json``.

    Raises:
      ValueError: a field of the config, or the directory, is not as it has to be; one line. Nothing
        has been written then.
    """
    check_config(config)
    _check_workdir(Path(workdir), config)
    check_data_name(config.data.name, config.data.data_dir or None)
    experiment = load_experiment(config)
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        write_json(Path(workdir) / "config.json", config.to_dict())
    except OSError as error:
        raise ValueError(f"workdir: {workdir} cannot be written: {error.strerror}") from None
    return experiment


def _check_workdir(workdir: Path, config: ConfigDict) -> None:
    if not _is_usable(workdir):
        raise ValueError(f"workdir: {workdir}; allowed: a directory that can be read and written")
    if _has_started(workdir):
        changed = _differences(_earlier_config(workdir), config)
        if changed:
            raise ValueError(
                f"workdir: {workdir} holds a run of another config ({'; '.join(changed)}); "
                "allowed: the same config, or a new directory"
            )


def _is_usable(workdir: Path) -> bool:
    """Whether the directory, or the nearest one above that exists, can be read and written."""
    try:
        existing = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
        checkpoints = workdir / "checkpoints"
        return (
            existing.is_dir()
            and os.access(existing, os.R_OK | os.W_OK | os.X_OK)
            and (checkpoints.is_dir() or not checkpoints.exists())
        )
    except OSError:
        return False


def _has_started(workdir: Path) -> bool:
    """Whether anything was computed here that another config must not take up."""
    metrics = workdir / "metrics.jsonl"
    has_metrics = metrics.exists() and metrics.stat().st_size > 0
    return has_metrics or any((workdir / "checkpoints").glob("seed_*/*/*"))


def _earlier_config(workdir: Path) -> dict[str, Any]:
    try:
        return flatten(ConfigDict(json.loads((workdir / "config.json").read_text())))
    except (OSError, ValueError, TypeError, AttributeError):
        raise ValueError(
            f"workdir: {workdir} holds a run whose config.json cannot be read; "
            "allowed: a run with its config, or a new directory"
        ) from None


def _differences(earlier: dict[str, Any], config: ConfigDict) -> list[str]:
    now = flatten(ConfigDict(json.loads(json.dumps(config.to_dict()))))
    names = sorted({*earlier, *now} - set(_PLACES))
    return [
        f"{name} was {earlier.get(name)!r}, is {now.get(name)!r}"
        for name in names
        if earlier.get(name) != now.get(name)
    ]
