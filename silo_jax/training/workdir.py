"""The directory of a run: whether it can be used, by whom, and for which config."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from silo_jax.training.config import flatten
from silo_jax.training.results import write_json

# Where the data lies may change between the sessions of a run, and how many checkpoints are kept.
_MAY_CHANGE = ("data_dir", "data.data_dir", "data.cache_dir", "checkpoints.keep")


def check_workdir(workdir: Path, config: ConfigDict) -> None:
    """Refuses a directory that cannot be used, or that holds a run of another config.

    Raises:
      ValueError: one line; nothing has been written then.
    """
    if not _is_usable(workdir):
        raise ValueError(f"workdir: {workdir}; allowed: a directory that can be read and written")
    if _has_started(workdir):
        changed = _differences(_earlier_config(workdir), config)
        if changed:
            raise ValueError(
                f"workdir: {workdir} holds a run of another config ({'; '.join(changed)}); "
                "allowed: the same config, or a new directory"
            )


@contextmanager
def hold_workdir(workdir: Path, config: ConfigDict) -> Iterator[None]:
    """Makes the directory with its ``config.json``, and keeps other processes out meanwhile.

    The lock is the kernel's: it goes when the process does, however that ends.

    Raises:
      ValueError: another process holds the directory, or it cannot be written; one line.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = (workdir / ".lock").open("a+")
    except OSError as error:
        raise ValueError(f"workdir: {workdir} cannot be written: {error.strerror}") from None
    with lock:
        _take(lock, workdir)
        try:
            write_json(workdir / "config.json", config.to_dict())
        except OSError as error:
            raise ValueError(f"workdir: {workdir} cannot be written: {error.strerror}") from None
        yield


def _take(lock: Any, workdir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        raise ValueError(
            f"workdir: {workdir} is in use by process {lock.read().strip()}; "
            "allowed: one process at a time"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()


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
    names = sorted({*earlier, *now} - set(_MAY_CHANGE))
    return [
        f"{name} was {earlier.get(name)!r}, is {now.get(name)!r}"
        for name in names
        if earlier.get(name) != now.get(name)
    ]
