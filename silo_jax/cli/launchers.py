"""Where the cells of a study are run, as the flags say, and what is shown meanwhile."""

import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from silo_jax.checks import require_choice
from silo_jax.cli.flags import Flag, exit_on_bad_input
from silo_jax.cli.session import session

QUIET = {
    "quiet": Flag(
        flags.DEFINE_bool, False, "", "shows nothing while it runs; the table at the end is printed"
    ),
}
FLAGS = {
    "launcher": Flag(flags.DEFINE_string, "local", "local|ray", "where cells are run"),
    "cells": Flag(
        flags.DEFINE_string, "1/1", "I/N", "this job's share of the cells, the i-th of n"
    ),
    "wait": Flag(
        flags.DEFINE_float,
        0.0,
        "SECONDS",
        "how long to wait for the other shares",
        0.0,
    ),
    "strategy": Flag(
        flags.DEFINE_string, "", "map|vmap|shard", "how cells share a device; by default as fits it"
    ),
    "at_once": Flag(
        flags.DEFINE_integer,
        0,
        "N",
        "cells in one program; 0 as fits the device",
        0,
    ),
    "ray_cpus": Flag(flags.DEFINE_float, 1.0, "N", "CPUs that Ray gives each cell", 0.0),
    "ray_gpus": Flag(flags.DEFINE_float, 0.0, "N", "GPUs that Ray gives each cell", 0.0),
    **QUIET,
}
_UNFINISHED = 3


@contextmanager
def launching(
    values: dict[str, Any], experiment: Any, directory: Path, num_cycles: int
) -> Iterator[Any]:
    """A launcher of the cells of an experiment, which are shown meanwhile.

    Exits with status 3 where cells of other shares are left.

    Args:
      values: of ``FLAGS``.
      experiment: of the study.
      directory: of the study.
      num_cycles: of all cells that will be run, at most.
    """
    from silo_jax.training.interrupts import StopRequest
    from silo_jax.training.launch import UnfinishedError
    from silo_jax.training.progress import CellsProgress
    from silo_jax.training.workdir import InUseError

    with exit_on_bad_input():
        share = parse_share(values["cells"])
    progress = CellsProgress(
        Console(stderr=True, quiet=values["quiet"]), math.ceil(num_cycles / share.of_shares)
    )
    with session(), StopRequest().listening() as stop, progress:
        with exit_on_bad_input():
            launcher = _launcher(values, experiment, directory, share, stop, progress)
        try:
            yield launcher
        except ValueError as error:
            if values["launcher"] == "local" and not isinstance(error, InUseError):
                raise  # on Ray it is what a worker refuses, such as data that it does not find
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2)
        except UnfinishedError as unfinished:
            print(f"{unfinished}; once they are run, the same command goes on", file=sys.stderr)
            sys.exit(_UNFINISHED)
        finally:
            launcher.close()


def _launcher(
    values: dict[str, Any], experiment: Any, directory: Path, share: Any, stop: Any, progress: Any
) -> Any:
    from silo_jax.training.launch import Local
    from silo_jax.training.replicas import STRATEGIES

    require_choice("--launcher", values["launcher"], ("local", "ray"))
    if values["strategy"]:
        require_choice("--strategy", values["strategy"], STRATEGIES)
    if values["launcher"] == "local":
        return Local(
            experiment,
            directory,
            strategy=values["strategy"],
            at_once=values["at_once"],
            share=share,
            wait_seconds=values["wait"],
            stop=stop,
            progress=progress,
        )
    if share.of_shares > 1:
        raise ValueError(f"--cells: {values['cells']}; allowed: 1/1 with --launcher=ray")
    from silo_jax.training.on_ray import OnRay

    return OnRay(
        experiment,
        directory,
        num_cpus=values["ray_cpus"],
        num_gpus=values["ray_gpus"],
        stop=stop,
        progress=progress,
    )


def parse_share(text: str) -> Any:
    """The share "I/N", counted from 1.

    Raises:
      ValueError: it is none.
    """
    from silo_jax.training.launch import Share

    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, of_shares = (int(group) for group in match.groups()) if match else (0, 0)
    if not 1 <= number <= of_shares:
        raise ValueError(f"--cells: {text!r}; allowed: I/N with I from 1 to N, such as 1/4")
    return Share(number - 1, of_shares)


def parse_numbers(name: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them; "" for none.

    Raises:
      ValueError: one line with the flag's name.
    """
    return _parse_list(name, text, float, "numbers with commas between them")


def parse_integers(name: str, text: str) -> tuple[int, ...]:
    """As `parse_numbers`, for integers."""
    return _parse_list(name, text, int, "integers with commas between them")


def _parse_list(name: str, text: str, kind: Callable[[str], Any], allowed: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ValueError(f"--{name}: {text!r}; allowed: {allowed}") from None
