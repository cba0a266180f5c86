"""A launcher whose cells reach what a formula says, in the files that training would write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from silo_jax.training.cells import Cell, Work, cell_files
from silo_jax.training.experiment import Experiment, load_experiment
from silo_jax.training.launch import unfinished
from tests.tiny import tiny_config

Scores = dict[str, float] | None


class Formula:
    """Runs cells by a formula of work, cell and cycle: val_accuracy and val_loss, None if diverged.

    ``cells`` has those that were run, each with the name of its work.
    """

    def __init__(
        self, experiment: Experiment, directory: Path, formula: Callable[[Work, Cell, int], Scores]
    ) -> None:
        self.experiment, self.directory, self._formula = experiment, directory, formula
        self.cells: list[tuple[str, Cell]] = []

    def run(self, works: list[Work], meanwhile: Callable[[], object] = lambda: None) -> None:
        for work, cell in unfinished(self, works):
            self.cells.append((work.name, cell))
            files = cell_files(self.directory, work, cell)
            reached = files.rows()
            first = reached[-1]["cycle"] + 1 if reached else cell.first_cycle
            for cycle in range(first, cell.end_cycle):
                row = self._row(work, cell, cycle)
                files.add(row)
                meanwhile()
                if "diverged" in row:
                    break
            if work.keep_end:
                steps = cell.end_cycle * self.experiment.lengths.steps_per_cycle
                (files.checkpoints / "states" / str(steps)).mkdir(parents=True)

    def _row(self, work: Work, cell: Cell, cycle: int) -> dict[str, Any]:
        per_cycle = self.experiment.lengths.steps_per_cycle
        row = {"cycle": cycle, "max_lr": cell.peaks[cycle], "seconds": 0.5}
        scores = self._formula(work, cell, cycle)
        if scores is None:
            return row | {"step": cycle * per_cycle + 1, "diverged": True}
        ends = {"epoch": 1, "step": (cycle + 1) * per_cycle, "ends_cycle": True}
        losses = {"train_loss": 0.1, "test_accuracy": scores["val_accuracy"] - 1}
        return row | ends | losses | {"density": 0.8**cycle} | scores


def formula_experiment(num_cycles: int = 3, seeds: tuple[int, ...] = (0, 1), **fields: Any):
    return load_experiment(tiny_config(pruning__num_cycles=num_cycles, seeds=seeds, **fields))
