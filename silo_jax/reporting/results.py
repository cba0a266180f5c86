"""What a run wrote, read back and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from silo_jax.reporting.reading import (
    Columns,
    has_rows,
    no_rows,
    read_config,
    read_csv,
    read_environment,
    read_jsonl,
)

_METRICS = {
    **dict.fromkeys(("seed", "cycle", "epoch", "step"), int),
    **dict.fromkeys(("density", "lr", "train_loss", "train_accuracy"), float),
    **dict.fromkeys(("val_loss", "val_accuracy", "seconds"), float),
}
_CYCLES = {
    **dict.fromkeys(("cycle", "seed", "weights_left"), int),
    **dict.fromkeys(("density", "max_lr", "train_loss", "train_accuracy"), float),
    **dict.fromkeys(("val_loss", "val_accuracy", "test_loss", "test_accuracy", "seconds"), float),
}
LAYER_KINDS = {"cycle": int, "seed": int, "layer": str, "size": int, "kept": int, "density": float}
_SCHEDULE = {"step": int, "lr": float}
DIVERGED_KINDS = {
    **dict.fromkeys(("seed", "cycle", "step", "last_sound_step"), int),
    **dict.fromkeys(("max_lr", "last_finite_loss", "next_max_lr"), float),
}


@dataclass(frozen=True)
class RunResults:
    """The result files of one run; a table is a mapping from column name to array.

    Numbers that are not finite are NaN. A row written twice (a run killed between two files and
    resumed) counts once, as last written.

    Attributes:
        workdir: Folder of the run.
        config: Nested experiment config.
        environment: Flat facts about software and hardware.
        metrics: One row a seed, cycle and epoch.
        cycles: One row a cycle and seed.
        layers: One row a cycle, seed and layer.
        schedule: Learning rate by step, sampled over the whole run.
        diverged: One row each time a seed's loss was not finite; ``next_max_lr`` is NaN where the
            seed was given up.
    """

    workdir: Path
    config: Mapping[str, Any]
    environment: Mapping[str, str]
    metrics: Columns
    cycles: Columns
    layers: Columns
    schedule: Columns
    diverged: Columns

    @property
    def title(self) -> str:
        """Data set, model and schedule."""
        return " · ".join(str(self.config[part]["name"]) for part in ("data", "model", "schedule"))

    @property
    def num_cycles(self) -> int:
        """Cycles the run was asked for, the dense one included."""
        return int(self.config["pruning"]["num_cycles"])

    @property
    def prune_fraction(self) -> float:
        """Share of the remaining weights pruned after a cycle."""
        return float(self.config["pruning"]["fraction"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds the run was asked for."""
        return tuple(self.config["seeds"])

    @property
    def cycles_done(self) -> dict[int, int]:
        """Number of finished cycles of each seed."""
        return {seed: int(np.sum(self.cycles["seed"] == seed)) for seed in self.seeds}

    @property
    def has_cycles(self) -> bool:
        """Whether any cycle is finished."""
        return bool(len(self.cycles["cycle"]))

    @property
    def finished(self) -> bool:
        """Whether every seed has every cycle."""
        return all(done == self.num_cycles for done in self.cycles_done.values())


def has_results(workdir: str | PathLike[str]) -> bool:
    """Whether a run has finished a cycle, so that there is something to report."""
    return has_rows(Path(workdir) / "cycles.csv")


def read_run(workdir: str | PathLike[str], *, may_lack_cycles: bool = False) -> RunResults:
    """Reads and checks the result files of a run, finished or not.

    Args:
        workdir: Folder with config.json, environment.json, metrics.jsonl, cycles.csv, layers.csv
            and schedule.csv.
        may_lack_cycles: Whether a run that has not finished a cycle is read, too.

    Returns:
        The run's results, rows in the order of (cycle, seed, ...).

    Raises:
        ValueError: If a file is missing, empty or malformed; one line that names the file.
    """
    folder = Path(workdir)
    run = RunResults(
        workdir=folder,
        config=read_config(folder / "config.json"),
        environment=read_environment(folder / "environment.json"),
        metrics=read_jsonl(folder / "metrics.jsonl", _METRICS, key=("cycle", "epoch", "seed")),
        cycles=read_csv(
            folder / "cycles.csv",
            _CYCLES,
            key=("cycle", "seed"),
            may_be_empty=may_lack_cycles,
            grows=True,
        ),
        layers=read_csv(
            folder / "layers.csv",
            LAYER_KINDS,
            key=("cycle", "seed", "layer"),
            may_be_empty=may_lack_cycles,
            grows=True,
        ),
        schedule=read_csv(folder / "schedule.csv", _SCHEDULE, key=("step",)),
        diverged=_read_diverged(folder / "diverged.csv"),
    )
    _check_range(folder / "metrics.jsonl", run.metrics, run)
    _check_range(folder / "cycles.csv", run.cycles, run)
    _check_range(folder / "layers.csv", run.layers, run)
    if not np.all((run.cycles["density"] > 0) & (run.cycles["density"] <= 1)):
        raise ValueError(f"{folder / 'cycles.csv'}: a density outside (0, 1]")
    return run


def _read_diverged(path: Path) -> Columns:
    if not path.exists():
        return no_rows(DIVERGED_KINDS)
    return read_csv(path, DIVERGED_KINDS, key=("seed", "cycle", "step", "max_lr"))


def _check_range(path: Path, table: Columns, run: RunResults) -> None:
    cycle, seed = table["cycle"], table["seed"]
    if cycle.size and 0 not in cycle:
        raise ValueError(f"{path}: no row of cycle 0, the dense network")
    if not np.all((cycle >= 0) & (cycle < run.num_cycles)):
        raise ValueError(f"{path}: a cycle outside 0..{run.num_cycles - 1}, config.json's range")
    if not np.all(np.isin(seed, run.seeds)):
        raise ValueError(f"{path}: a seed that is not among config.json's {list(run.seeds)}")
