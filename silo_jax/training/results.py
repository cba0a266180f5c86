"""The result files of a run, as `silo_jax.reporting` reads them.

Rows are appended as they are reached and are on the disk before the checkpoint that follows them.
A run that goes on from a checkpoint drops the rows past it, which it will reach again.
"""

import csv
import importlib.metadata
import io
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

Row = dict[str, Any]

CYCLE_COLUMNS = (
    "cycle",
    "seed",
    "step",
    "density",
    "weights_left",
    "max_lr",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds",
)
LAYER_COLUMNS = ("cycle", "seed", "step", "layer", "size", "kept", "density")
SCHEDULE_COLUMNS = ("step", "lr")


class Divergence(NamedTuple):
    """Where a seed's loss was not finite any more, and what went before.

    Attributes:
      seed: of the run.
      cycle: in which it was.
      step: global step, counted from 1, whose loss was not finite.
      lr: learning rate of that step.
      last_finite_loss: mean loss of the last batch before; NaN if there was none.
      last_sound_step: step of the newest checkpoint, which is kept; 0 if there is none.
    """

    seed: int
    cycle: int
    step: int
    lr: float
    last_finite_loss: float
    last_sound_step: int


class Results:
    """Writes ``metrics.jsonl``, ``cycles.csv`` and ``layers.csv`` in a run's directory.

    ``diverged.csv`` is there only if a seed has diverged.
    """

    def __init__(self, workdir: Path) -> None:
        self._metrics = workdir / "metrics.jsonl"
        self._cycles = workdir / "cycles.csv"
        self._layers = workdir / "layers.csv"
        self._diverged = workdir / "diverged.csv"
        _start_csv(self._cycles, CYCLE_COLUMNS)
        _start_csv(self._layers, LAYER_COLUMNS)
        self._metrics.touch()

    def add_epoch(self, row: Row) -> None:
        _append(self._metrics, json.dumps(row) + "\n")

    def add_cycle(self, row: Row, layers: list[Row]) -> None:
        _append(self._layers, _csv_text(LAYER_COLUMNS, layers))
        _append(self._cycles, _csv_text(CYCLE_COLUMNS, [row]))

    def add_divergence(self, divergence: Divergence) -> None:
        _start_csv(self._diverged, Divergence._fields)
        _append(self._diverged, _csv_text(Divergence._fields, [divergence._asdict()]))

    def diverged(self, seed: int) -> Divergence | None:
        """Where the seed has diverged, if it has."""
        if not self._diverged.exists():
            return None
        rows = csv.DictReader(self._diverged.read_text().splitlines())
        kinds = Divergence.__annotations__
        found = (Divergence(**{k: kinds[k](v) for k, v in row.items()}) for row in rows)
        return next((divergence for divergence in found if divergence.seed == seed), None)

    def seconds_of_cycle(self, seed: int, cycle: int) -> float:
        """The time that the epochs of a cycle took, those of interrupted sessions included."""
        rows = (json.loads(line) for line in self._metrics.read_text().splitlines())
        return sum(row["seconds"] for row in rows if (row["seed"], row["cycle"]) == (seed, cycle))

    def drop_after(self, seed: int, step: int) -> None:
        """Drops what the seed reached past a global step, and a line that was cut off."""
        _filter_lines(self._metrics, json.loads, seed, step, header=0)
        for path, columns in ((self._cycles, CYCLE_COLUMNS), (self._layers, LAYER_COLUMNS)):
            _filter_lines(path, partial(_csv_row, columns), seed, step, header=1)


def write_schedule(path: Path, steps: list[int], lrs: list[float]) -> None:
    """Writes the learning rate at some of the run's steps."""
    rows = [{"step": step, "lr": lr} for step, lr in zip(steps, lrs, strict=True)]
    write_atomically(path, _csv_text(SCHEDULE_COLUMNS, rows, header=True))


def write_json(path: Path, content: Any) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def environment() -> dict[str, str]:
    """What the run ran on: command, commit, versions and device."""
    device = jax.devices()[0]
    packages = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "command": shlex.join(["python", "-m", "experiments.run", *sys.argv[1:]]),
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "device": f"{jax.device_count()} × {device.device_kind} ({device.platform})",
        "host cores": str(os.cpu_count()),
        "system": platform.platform(),
    }


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _start_csv(path: Path, columns: tuple[str, ...]) -> None:
    if not path.exists():
        write_atomically(path, _csv_text(columns, [], header=True))


def _csv_text(columns: tuple[str, ...], rows: list[Row], header: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _csv_row(columns: tuple[str, ...], line: str) -> Row:
    (values,) = csv.reader([line])
    row = dict(zip(columns, values, strict=True))
    return row | {"seed": int(row["seed"]), "step": int(row["step"])}


def _filter_lines(
    path: Path, parse: Callable[[str], Row], seed: int, step: int, header: int
) -> None:
    def stays(line: str) -> bool:
        try:
            row = parse(line)
        except ValueError:
            return False
        return row["seed"] != seed or row["step"] <= step

    lines = path.read_text().splitlines(keepends=True)
    kept = lines[:header] + [line for line in lines[header:] if line.endswith("\n") and stays(line)]
    if kept != lines:
        write_atomically(path, "".join(kept))
