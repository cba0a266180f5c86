"""The directory of a run: whether it can be used, by whom, and for which config."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from silo_jax.checkpoint import Checkpoints
from silo_jax.distributed import is_primary
from silo_jax.files import write_json
from silo_jax.training.config import flatten
from silo_jax.training.experiment import Experiment

# What may change between the sessions of a run: where the data lies, how many processes read it,
# on how many devices it runs, and how many checkpoints are kept.
_MAY_CHANGE = (
    "data_dir",
    "data.data_dir",
    "data.cache_dir",
    "data.workers",
    "devices.data",
    "devices.model",
    "checkpoints.keep",
)


class InUseError(ValueError):
    """Another process holds the directory."""


def check_workdir(workdir: Path, config: ConfigDict) -> None:
    """Refuses a directory that cannot be used, or that holds a run of another config.

    Raises:
      ValueError: one line; nothing has been written then.
    """
    require_usable(workdir)
    if (workdir / "study.json").exists():
        raise ValueError(f"workdir: {workdir} holds a study; allowed: a run, or a new directory")
    if has_started(workdir):
        changed = differences(earlier_config(workdir), config)
        if changed:
            fork = f"; with --fork={workdir} that goes on from the cycles finished here"
            raise ValueError(
                f"workdir: {workdir} holds a run of another config ({'; '.join(changed)}); "
                f"allowed: the same config, or a new directory{fork if _has_rows(workdir) else ''}"
            )


@contextmanager
def hold_workdir(workdir: Path, config: ConfigDict) -> Iterator[None]:
    """Makes the directory with its ``config.json``, and keeps other runs out meanwhile.

    Of several processes that work together the first one does so.

    Raises:
      ValueError: another process holds the directory, or it cannot be written; one line.
    """
    if not is_primary():
        yield
        return
    with refusing_unwritable(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    with lock(workdir):
        check_workdir(workdir, config)  # what another process has done meanwhile
        for left_by_a_kill in (*workdir.glob(".*.tmp"), *workdir.glob("figures/.*.tmp")):
            left_by_a_kill.unlink(missing_ok=True)
        with refusing_unwritable(workdir):
            write_json(workdir / "config.json", config.to_dict())
        yield


@contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Keeps other processes out of the directory of a run.

    The lock is the kernel's: it goes when the process does, however that ends.

    Raises:
      InUseError: another process holds the directory; one line.
      ValueError: it cannot be written; one line.
    """
    with refusing_unwritable(workdir):
        file = (workdir / ".lock").open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise InUseError(
                f"workdir: {workdir} is in use by process {file.read().strip()}; "
                "allowed: one process at a time"
            ) from None
        with refusing_unwritable(workdir):
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), f"{os.getpid()}\n".encode())
        yield


def checkpoints_of(workdir: Path, experiment: Experiment, seed: int) -> Checkpoints:
    """The checkpoints that a seed has there."""
    return Checkpoints(
        (workdir / "checkpoints" / f"seed_{seed}").absolute(),
        steps_per_cycle=experiment.lengths.steps_per_cycle,
        steps_per_epoch=experiment.steps_per_epoch,
        keep=experiment.config.checkpoints.keep,
    )


@contextmanager
def refusing_unwritable(workdir: Path) -> Iterator[None]:
    """Turns errors of writing into one line, a ValueError."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"workdir: {workdir} cannot be written: {error.strerror}") from None


def require_usable(workdir: Path) -> None:
    """Raises ValueError unless the directory, or one above it, can be read and written."""
    if not _is_usable(workdir):
        raise ValueError(f"workdir: {workdir}; allowed: a directory that can be read and written")


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


def has_started(workdir: Path) -> bool:
    """Whether anything was computed here that another config must not take up."""
    metrics = workdir / "metrics.jsonl"
    has_metrics = metrics.exists() and metrics.stat().st_size > 0
    has_states = any((workdir / "checkpoints").glob("seed_*/*/*"))
    return has_metrics or has_states or (workdir / "diverged.csv").exists()


def _has_rows(workdir: Path) -> bool:
    """Whether a cycle has been finished."""
    cycles = workdir / "cycles.csv"
    return cycles.exists() and cycles.read_text(errors="replace").count("\n") > 1


def earlier_config(workdir: Path) -> dict[str, Any]:
    """The config of the run that is there, by dotted names."""
    try:
        return flatten(ConfigDict(json.loads((workdir / "config.json").read_text())))
    except (OSError, ValueError, TypeError, AttributeError):
        raise ValueError(
            f"workdir: {workdir} holds a run whose config.json cannot be read; "
            "allowed: a run with its config, or a new directory"
        ) from None


def differences(
    earlier: dict[str, Any],
    config: ConfigDict,
    only: tuple[str, ...] = ("",),
    may_change: tuple[str, ...] = (),
) -> list[str]:
    """The fields that differ, among those whose names start with one of ``only``.

    Left out are those that may change between the sessions of any run, and ``may_change``.
    """
    now = flatten(ConfigDict(json.loads(json.dumps(config.to_dict()))))
    compared = {*earlier, *now} - {*_MAY_CHANGE, *may_change}
    names = [name for name in sorted(compared) if name.startswith(only)]
    return [
        f"{name} was {earlier.get(name)!r}, is {now.get(name)!r}"
        for name in names
        if earlier.get(name) != now.get(name)
    ]
