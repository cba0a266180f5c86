"""The result files of an Oracle search, and SILO's own run beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from silo_jax.files import write_csv, write_json
from silo_jax.studies.fit import Fit, fit_s_curve
from silo_jax.studies.interval import Interval
from silo_jax.studies.oracle import PROGRAM, Choice, Grid, search
from silo_jax.training.cells import Cell, Row, Work, cycle_rows, read_cell
from silo_jax.training.launch import Launcher

GRID_COLUMNS = (
    *("cycle", "max_lr", "seed", "density", "train_loss", "val_loss", "val_accuracy"),
    *("test_accuracy", "steps", "seconds", "diverged"),
)
_ENDS = ("low", "high", "low_open", "high_open")
CHOICE_COLUMNS = (
    *("cycle", "density", "max_lr", "val_accuracy", "test_accuracy", "num_values"),
    *("num_diverged", "tied", *_ENDS, "gaps", *(f"se_{end}" for end in _ENDS), "standard_error"),
)


@dataclass(frozen=True)
class OracleStudy:
    """What an Oracle search is to do.

    Attributes:
      grid: the values of max_lr to try.
      tolerance: of the Oracle interval, in percentage points.
      kind: "oracle", or "tune" for its two cycles.
    """

    grid: Grid
    tolerance: float = 0.5
    kind: str = "oracle"

    def described(self) -> dict[str, Any]:
        """What study.json says of it."""
        return {"kind": self.kind, "tolerance": self.tolerance, **self.grid._asdict()}


def run_oracle(launcher: Launcher, study: OracleStudy) -> list[Choice]:
    """Searches max_lr in every cycle, and writes grid.csv and choices.csv after each.

    While a cycle is searched, what it has so far goes into grid.csv now and then.

    Raises:
      UnfinishedError, Stopped, OSError: see `silo_jax.studies.oracle.search`.
    """
    choices: list[Choice] = []
    _start(launcher.directory, "grid", "choices")
    for choice in search(
        launcher, study.grid, lambda so_far: _write_grid(launcher, [*choices, so_far])
    ):
        choices.append(choice)
        write_choices(launcher, choices, study.tolerance)
    return choices


def run_silo(launcher: Launcher) -> None:
    """Runs SILO with the config's bounds, steepness and delay, and writes silo.csv now and then.

    Raises:
      UnfinishedError, Stopped, OSError: see `silo_jax.studies.oracle.search`.
    """
    experiment, fields = launcher.experiment, {"schedule.name": "silo", "schedule.peaks": ()}
    peaks, end = tuple(experiment.with_fields(fields).peaks), experiment.num_cycles
    cells = tuple(Cell(f"seed_{seed}", seed, peaks, 0, end) for seed in experiment.config.seeds)
    work = Work("silo", cells, PROGRAM)
    _start(launcher.directory, "silo", "grid", "choices")
    launcher.run([work], meanwhile=partial(_write_silo, launcher, work))
    _write_silo(launcher, work)


def _start(directory: Path, *names: str) -> None:
    """Writes the heads of tables that are not there yet."""
    for name in names:
        path = directory / f"{name}.csv"
        if not path.exists():
            directory.mkdir(parents=True, exist_ok=True)
            write_csv(path, CHOICE_COLUMNS if name == "choices" else GRID_COLUMNS, [])


def _write_silo(launcher: Launcher, work: Work) -> None:
    steps, rows = launcher.experiment.lengths.steps_per_cycle, []
    for cell in work.cells:
        outcome = read_cell(launcher.directory, work, cell, launcher.experiment)
        rows += [
            row | {"max_lr": row["cycle_max_lr"], "seed": cell.seed}
            for row in cycle_rows(outcome, steps)
        ]
    write_csv(launcher.directory / "silo.csv", GRID_COLUMNS, rows)


def write_choices(launcher: Launcher, choices: Sequence[Choice], tolerance: float) -> None:
    """Writes every max_lr tried and the choices so far."""
    _write_grid(launcher, choices)
    chosen = [_choice_row(choice, tolerance) for choice in choices]
    write_csv(launcher.directory / "choices.csv", CHOICE_COLUMNS, chosen)


def _write_grid(launcher: Launcher, choices: Sequence[Choice]) -> None:
    steps = launcher.experiment.lengths.steps_per_cycle
    rows: list[Row] = [
        row | {"max_lr": one.max_lr, "seed": seed}
        for choice in choices
        for one in choice.tried
        for seed, outcome in one.outcomes.items()
        for row in cycle_rows(outcome, steps)
    ]
    write_csv(launcher.directory / "grid.csv", GRID_COLUMNS, rows)


def write_fit(directory: Path, choices: Sequence[Choice]) -> Fit:
    """Fits the S-curve to the choices, and writes fit.json.

    Raises:
      ValueError: too few cycles have a choice.
    """
    best = [choice.best for choice in choices if choice.best is not None]
    sparsities = [1 - one.values("density")[0] for one in best]
    fit = fit_s_curve([one.max_lr for one in best], sparsities)
    write_json(directory / "fit.json", fit._asdict())
    return fit


def _choice_row(choice: Choice, tolerance: float) -> Row:
    row: Row = {
        "cycle": choice.cycle,
        "num_values": len(choice.tried),
        "num_diverged": sum(math.isnan(one.mean("val_accuracy")) for one in choice.tried),
    }
    best = choice.best
    if best is None:
        return row
    row |= {name: best.mean(name) for name in ("density", "val_accuracy", "test_accuracy")}
    row |= {"max_lr": best.max_lr, "tied": " ".join(f"{value:.6g}" for value in choice.tied)}
    row |= _ends(choice.interval(tolerance), "") | _ends(
        choice.interval(choice.standard_error), "se_"
    )
    if not math.isnan(choice.standard_error):
        row["standard_error"] = choice.standard_error
    return row


def _ends(interval: Interval | None, prefix: str) -> Row:
    if interval is None:
        return {}
    ends = interval._asdict() | {
        name: int(getattr(interval, name)) for name in ("low_open", "high_open", "gaps")
    }
    return {f"{prefix}{name}": value for name, value in ends.items()}
