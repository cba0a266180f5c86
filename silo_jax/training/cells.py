"""The cells of a study, a comparison or a search: independent jobs with results of their own.

A cell trains one network through some cycles. Its directory holds ``metrics.jsonl``, with a line
for every epoch that was evaluated, and ``checkpoints/`` while it is not finished, or for good where
others start from its end.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from silo_jax.files import append_text, write_atomically
from silo_jax.training.experiment import Experiment
from silo_jax.training.scoring import chosen_epoch

Row = dict[str, Any]


class Cell(NamedTuple):
    """One network's way through cycles.

    Attributes:
      name: of its directory below that of its work, such as "0.05/seed_0".
      seed: of initialisation, data order and augmentation.
      peaks: max_lr of each cycle, ``num_cycles`` of the experiment.
      first_cycle: 0, or the cycle that follows the end of ``after``.
      end_cycle: the first cycle that is not trained any more.
      after: directory of the cell from whose end it starts, relative to that of all cells.
      origin: as ``after``; the cell of the dense network, which has the rewind point.
    """

    name: str
    seed: int
    peaks: tuple[float, ...]
    first_cycle: int
    end_cycle: int
    after: str = ""
    origin: str = ""


class Work(NamedTuple):
    """Cells of one experiment.

    Attributes:
      name: of the directory that holds theirs.
      cells: all of the same cycles.
      fields: of the config, that differ from the study's; see `Experiment.with_fields`.
      keep_end: whether the states at their ends are kept.
    """

    name: str
    cells: tuple[Cell, ...]
    fields: Mapping[str, Any]
    keep_end: bool = False


class Outcome(NamedTuple):
    """What a cell has reached.

    Attributes:
      cycles: by cycle, the row of the epoch that is scored, with the ``seconds`` of all.
      diverged: cycle, step and max_lr where its loss was not finite, if it was.
    """

    cycles: dict[int, Row]
    diverged: Row | None


class CellFiles:
    """The files of one cell."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checkpoints = directory / "checkpoints"
        self._metrics = directory / "metrics.jsonl"
        self._dropped = directory / "state_dropped"

    def add(self, row: Row) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        append_text(self._metrics, json.dumps(row) + "\n")

    def rows(self) -> list[Row]:
        """The lines so far; one that a kill has cut off is left out.

        Raises:
          OSError: another line is damaged.
        """
        if not self._metrics.exists():
            return []
        lines = self._metrics.read_text(errors="replace").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            raise OSError(f"{self._metrics}: is damaged") from None

    def drop_after(self, step: int) -> None:
        """Drops what was reached past a step, from which the cell goes on."""
        kept = [row for row in self.rows() if row["step"] <= step]
        if self._metrics.exists():
            write_atomically(self._metrics, "".join(json.dumps(row) + "\n" for row in kept))
        self._dropped.unlink(missing_ok=True)

    def drop_state(self) -> None:
        """Removes the state of a finished cell, from which none will start."""
        self._dropped.touch()
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def latest_step(self) -> int | None:
        """The step of the newest state, None without one."""
        states = self.checkpoints / "states"
        steps = [int(path.name) for path in states.glob("*") if path.name.isdigit()]
        return max(steps, default=None)

    def has_reached(self, step: int, *, with_state: bool) -> bool:
        """Whether the cell is finished: it was trained so far, or has diverged."""
        rows = self.rows()
        if not rows or "diverged" in rows[-1]:
            return bool(rows)
        reached = rows[-1]["step"]
        is_there = self._dropped.exists() or (self.latest_step() or 0) >= step
        return reached > step or (reached == step and (is_there or not with_state))


def cell_files(directory: Path, work: Work, cell: Cell) -> CellFiles:
    """The files of a cell, below the directory of a study."""
    return CellFiles(directory / "cells" / work.name / cell.name)


def read_cell(directory: Path, work: Work, cell: Cell, experiment: Experiment) -> Outcome:
    """What a cell has reached, as the config's ``evaluation.select`` scores it."""
    rows = cell_files(directory, work, cell).rows()
    diverged = next((row for row in rows if "diverged" in row), None)
    epochs: dict[int, list[Row]] = {}
    for row in rows:
        if "diverged" not in row:
            epochs.setdefault(row["cycle"], []).append(row)
    ended = {cycle: seen for cycle, seen in epochs.items() if seen[-1]["ends_cycle"]}
    return Outcome({cycle: _scored(seen, experiment) for cycle, seen in ended.items()}, diverged)


def cycle_rows(outcome: Outcome, steps_per_cycle: int) -> list[Row]:
    """A row for each finished cycle of a cell, and one for that in which it diverged.

    Columns: ``cycle``, ``cycle_max_lr``, ``steps``, ``seconds``, ``diverged``, and but for a cycle
    that diverged ``density``, losses and accuracies.
    """
    rows: list[Row] = [
        {
            **row,
            "cycle_max_lr": row["max_lr"],
            "steps": steps_per_cycle,
            "seconds": round(row["seconds"], 4),
            "diverged": 0,
        }
        for row in outcome.cycles.values()
    ]
    if outcome.diverged is not None:
        lost = outcome.diverged
        rows.append(
            {
                "cycle": lost["cycle"],
                "cycle_max_lr": lost["max_lr"],
                "steps": lost["step"] - lost["cycle"] * steps_per_cycle,
                "seconds": lost["seconds"],
                "diverged": 1,
            }
        )
    return rows


def _scored(epochs: Sequence[Row], experiment: Experiment) -> Row:
    evaluation = experiment.config.evaluation
    chosen = chosen_epoch(evaluation.select, epochs, last_epoch=evaluation.last_epoch)
    return chosen | {"seconds": sum(row["seconds"] for row in epochs)}


def is_finished(directory: Path, work: Work, cell: Cell, experiment: Experiment) -> bool:
    """Whether a cell has reached its end, with the state there if that is kept."""
    end = cell.end_cycle * experiment.lengths.steps_per_cycle
    return cell_files(directory, work, cell).has_reached(end, with_state=work.keep_end)
