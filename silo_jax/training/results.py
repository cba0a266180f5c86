"""The result files of a run, as `silo_jax.reporting` reads them.

Rows are appended as they are reached and are on the disk before the checkpoint that follows them.
A run that goes on from a checkpoint drops the rows past it, which it will reach again.
"""

import csv
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from silo_jax.distributed import is_primary, wait_for_all
from silo_jax.files import append_text, csv_text, write_atomically
from silo_jax.training.events import EventFiles

Row = dict[str, Any]

CYCLE_COLUMNS = (
    "cycle",
    "seed",
    "step",
    "density",
    "weights_left",
    "max_lr",
    "epoch",
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
      max_lr: of that cycle.
      lr: learning rate of that step.
      last_finite_loss: mean loss of the last batch before; NaN if there was none.
      last_sound_step: step at the end of the last sound epoch, of which the state is kept; 0 if
        there is none.
      next_max_lr: with which the cycle went on from there; NaN if the seed was given up.
    """

    seed: int
    cycle: int
    step: int
    max_lr: float
    lr: float
    last_finite_loss: float
    last_sound_step: int
    next_max_lr: float

    @property
    def ended(self) -> bool:
        """Whether the seed was given up there."""
        return math.isnan(self.next_max_lr)


class Results:
    """Writes ``metrics.jsonl``, ``cycles.csv`` and ``layers.csv`` in a run's directory.

    ``diverged.csv`` is there only if a seed has diverged.
    """

    def __init__(self, workdir: Path, events: EventFiles | None = None) -> None:
        """Args:
        workdir: of the run.
        events: TensorBoard's files, which are told the same.
        """
        self._events = events
        self._metrics = workdir / "metrics.jsonl"
        self._cycles = workdir / "cycles.csv"
        self._layers = workdir / "layers.csv"
        self._diverged = workdir / "diverged.csv"
        self._tables: tuple[tuple[Path, Callable[[str], Row]], ...] = (
            (self._metrics, json.loads),
            (self._cycles, partial(_csv_row, CYCLE_COLUMNS)),
            (self._layers, partial(_csv_row, LAYER_COLUMNS)),
        )
        _start_csv(self._cycles, CYCLE_COLUMNS)
        _start_csv(self._layers, LAYER_COLUMNS)
        self._metrics.touch()

    def add_epoch(self, row: Row) -> None:
        append_text(self._metrics, json.dumps(row) + "\n")
        if self._events is not None:
            self._events.add_epoch(row)

    def add_cycle(self, row: Row, layers: list[Row]) -> None:
        append_text(self._layers, csv_text(LAYER_COLUMNS, layers))
        append_text(self._cycles, csv_text(CYCLE_COLUMNS, [row]))
        if self._events is not None:
            self._events.add_layers(layers)

    def add_divergence(self, divergence: Divergence) -> None:
        """Notes it on the disk before the seed goes back or is given up."""
        self._write_divergences([*self._read_divergences(), divergence])

    def divergences(self, seed: int) -> list[Divergence]:
        """Where the seed has diverged, in the order in which it has."""
        return [divergence for divergence in self._read_divergences() if divergence.seed == seed]

    def given_up(self, seed: int) -> Divergence | None:
        """Where the seed was given up, if it was."""
        return next((divergence for divergence in self.divergences(seed) if divergence.ended), None)

    def _read_divergences(self) -> list[Divergence]:
        if not self._diverged.exists():
            return []
        rows = csv.DictReader(self._diverged.read_text().splitlines())
        kinds = Divergence.__annotations__
        try:
            return [Divergence(**{k: kinds[k](v) for k, v in row.items()}) for row in rows]
        except (KeyError, TypeError, ValueError):
            raise OSError(f"{self._diverged}: is damaged") from None

    def _write_divergences(self, divergences: list[Divergence]) -> None:
        rows = [divergence._asdict() for divergence in divergences]
        write_atomically(self._diverged, csv_text(Divergence._fields, rows, header=True))

    def last_lr(self, seed: int, step: int) -> float:
        """The learning rate of the last step of the epoch that ended at a global step."""
        rows = (json.loads(line) for line in self._metrics.read_text().splitlines())
        return next(row["lr"] for row in rows if (row["seed"], row["step"]) == (seed, step))

    def epochs_of_cycle(self, seed: int, cycle: int) -> list[Row]:
        """The rows of a cycle so far, also those of earlier sessions.

        Times are those of the session in which an epoch ended.
        """
        rows = (json.loads(line) for line in self._metrics.read_text().splitlines())
        return [row for row in rows if (row["seed"], row["cycle"]) == (seed, cycle)]

    def drop_after(self, seed: int, step: int) -> None:
        """Drops what the seed reached past a global step, and a last line that was cut off.

        A divergence goes with the state to which the seed went back, as it will be met again.

        Raises:
          OSError: one line; another line is damaged.
        """
        for path, parse in self._tables:
            header, rows = self._read(path, parse)
            kept = [line for line, row in rows if row["seed"] != seed or row["step"] <= step]
            if "".join(header + kept) != path.read_text():
                write_atomically(path, "".join(header + kept))
        divergences = self._read_divergences()
        stay = [one for one in divergences if one.seed != seed or one.last_sound_step <= step]
        if len(stay) < len(divergences):
            self._write_divergences(stay)
        self.restart_events(seed)

    def restart_events(self, seed: int) -> None:
        """Begins a file of TensorBoard's with the rows so far of a seed, if one is asked for."""
        if self._events is not None:
            (_, epochs), _, (_, layers) = (self._read(*table) for table in self._tables)
            of_seed = ([r for _, r in rows if r["seed"] == seed] for rows in (epochs, layers))
            self._events.restart(seed, *of_seed)

    def take_over(self, earlier: "Results", seed: int, step: int) -> None:
        """Takes over what the seed of an earlier run reached up to a global step."""
        self.drop_after(seed, 0)
        for (path, parse), (source, _) in zip(self._tables, earlier._tables, strict=True):
            _, rows = earlier._read(source, parse)
            taken = [line for line, row in rows if row["seed"] == seed and row["step"] <= step]
            append_text(path, "".join(taken))
        divergences = [one for one in earlier.divergences(seed) if one.step <= step]
        if divergences:
            others = [one for one in self._read_divergences() if one.seed != seed]
            self._write_divergences([*others, *divergences])

    def _read(
        self, path: Path, parse: Callable[[str], Row]
    ) -> tuple[list[str], list[tuple[str, Row]]]:
        """The header, if the file has one, and the other lines with their rows."""
        lines = path.read_text(errors="replace").splitlines(keepends=True)
        start = 0 if path == self._metrics else 1
        rows = []
        for number, line in enumerate(lines[start:], start=start + 1):
            try:
                if line.endswith("\n"):
                    rows.append((line, parse(line)))
            except ValueError:
                if number < len(lines):
                    raise OSError(f"{path}: line {number} is damaged") from None
        return lines[:start], rows


@contextmanager
def results_of(workdir: Path, *, tensorboard: bool = False) -> Iterator[Results]:
    """The results in the directory of a run, which process 0 alone writes.

    The others work on copies of their own, which they need for what depends on earlier results.

    Args:
      workdir: of the run.
      tensorboard: whether TensorBoard's event files are written, too, below ``tensorboard/``.
    """
    if is_primary():
        with ExitStack() as stack:
            events = EventFiles(workdir / "tensorboard") if tensorboard else None
            if events is not None:
                stack.enter_context(closing(events))
            results = Results(workdir, events)
            wait_for_all("results are there")
            wait_for_all("results are copied")
            yield results
        return
    with TemporaryDirectory() as directory:
        wait_for_all("results are there")
        for path in workdir.iterdir():
            if path.is_file():
                shutil.copy(path, directory)
        wait_for_all("results are copied")
        yield Results(Path(directory))


def write_schedule(path: Path, steps: list[int], lrs: list[float], keep_below: int = 0) -> None:
    """Writes the learning rate at some of the run's steps, after the rows of earlier steps."""
    rows: list[Row] = [{"step": step, "lr": lr} for step, lr in zip(steps, lrs, strict=True)]
    if keep_below:
        earlier = csv.DictReader(path.read_text().splitlines())
        rows = [row for row in earlier if int(row["step"]) < keep_below] + rows
    write_atomically(path, csv_text(SCHEDULE_COLUMNS, rows, header=True))


def _start_csv(path: Path, columns: tuple[str, ...]) -> None:
    if not path.exists() or not path.read_text(errors="replace").strip():
        write_atomically(path, csv_text(columns, [], header=True))


def _csv_row(columns: tuple[str, ...], line: str) -> Row:
    (values,) = csv.reader([line])
    row = dict(zip(columns, values, strict=True))
    return row | {"seed": int(row["seed"]), "step": int(row["step"])}
