"""A run in its directory: the config is checked, the directory prepared, every seed trained."""

import json
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from silo_jax.data import check_data_name
from silo_jax.training.config import check_config, flatten
from silo_jax.training.experiment import load_experiment
from silo_jax.training.loop import run_seeds
from silo_jax.training.results import environment, write_json

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
      ValueError: a field of the config, or the directory, is not as it has to be; one line. Nothing
        has been written then.
    """
    workdir = Path(workdir)
    check_config(config)
    _check_workdir(workdir, config)
    check_data_name(config.data.name, config.data.data_dir or None)
    experiment = load_experiment(config)
    experiment.create_state(seed=config.seeds[0])
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / "config.json", config.to_dict())
    write_json(workdir / "environment.json", environment())
    run_seeds(experiment, workdir, console or Console(stderr=True))
    return workdir


def _check_workdir(workdir: Path, config: ConfigDict) -> None:
    existing = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"workdir: {workdir}; allowed: a directory that can be read and written")
    try:
        earlier = json.loads((workdir / "config.json").read_text())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ValueError(f"workdir: {workdir}/config.json cannot be read: {error}") from None
    now = json.loads(json.dumps(config.to_dict()))
    changed = _differences(flatten(ConfigDict(earlier)), flatten(ConfigDict(now)))
    if changed:
        raise ValueError(
            f"workdir: {workdir} holds a run of another config ({'; '.join(changed)}); "
            "allowed: the same config, or a new directory"
        )


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> list[str]:
    names = sorted({*earlier, *now} - set(_PLACES))
    return [
        f"{name} was {earlier.get(name)!r}, is {now.get(name)!r}"
        for name in names
        if earlier.get(name) != now.get(name)
    ]
