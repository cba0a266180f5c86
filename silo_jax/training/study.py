"""The directory of a study: which config and plan it is of, and what it was run on."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from silo_jax.files import write_json
from silo_jax.training.environment import environment, write_environment
from silo_jax.training.workdir import (
    differences,
    earlier_config,
    has_started,
    lock,
    refusing_unwritable,
    require_usable,
)


@contextmanager
def hold_study(
    directory: Path,
    config: ConfigDict,
    study: Mapping[str, Any],
    *,
    fixed: tuple[str, ...] = ("kind",),
    may_change: tuple[str, ...] = (),
    shared: bool = False,
) -> Iterator[None]:
    """Makes the directory of a study, with config.json, study.json and environment.json.

    The last is written anew by what has work to do, so that it tells of a session that trained.

    Args:
      directory: of the study.
      config: checked.
      study: what study.json holds, with its "kind".
      fixed: fields of it that a study has to keep from one session to the next.
      may_change: fields of the config that need not be kept.
      shared: whether several processes may work here at once, each on cells of its own.

    Raises:
      ValueError: the directory cannot be used, or holds a run or another study; one line.
    """
    _check(directory, config, study, fixed, may_change)
    environment()  # before anything takes its time
    with refusing_unwritable(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with nullcontext() if shared else lock(directory):
        _check(directory, config, study, fixed, may_change)
        with refusing_unwritable(directory):
            write_json(directory / "config.json", config.to_dict())
            write_json(directory / "study.json", dict(study))
            if not (directory / "environment.json").exists():
                write_environment(directory)
        yield


def _check(
    directory: Path,
    config: ConfigDict,
    study: Mapping[str, Any],
    fixed: tuple[str, ...],
    may_change: tuple[str, ...],
) -> None:
    """Refuses the directory of a run, of another study, or of one of another config."""
    require_usable(directory)
    if not (directory / "study.json").exists():
        if has_started(directory):
            raise ValueError(f"workdir: {directory} holds a run; allowed: a new directory")
        return
    earlier = _read_study(directory)
    changed = [
        f"{name} was {earlier.get(name)!r}, is {study[name]!r}"
        for name in fixed
        if earlier.get(name) != json.loads(json.dumps(study[name]))
    ]
    changed += differences(earlier_config(directory), config, may_change=may_change)
    if changed:
        raise ValueError(
            f"workdir: {directory} holds another study ({'; '.join(changed)}); "
            "allowed: the same one, or a new directory"
        )


def _read_study(directory: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((directory / "study.json").read_text()))
    except (OSError, ValueError, TypeError):
        raise ValueError(
            f"workdir: {directory} holds a study whose study.json cannot be read; "
            "allowed: a new directory"
        ) from None
