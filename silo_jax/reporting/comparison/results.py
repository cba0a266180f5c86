"""What a comparison wrote, read back and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import over_seeds
from silo_jax.reporting.reading import (
    Columns,
    check,
    read_config,
    read_csv,
    read_environment,
    read_object,
)

_CELLS = {
    **dict.fromkeys(("option",), str),
    **dict.fromkeys(("seed", "cycle", "diverged"), int),
    **dict.fromkeys(("max_lr", "density", "cycle_max_lr", "train_loss"), float),
    **dict.fromkeys(("val_accuracy", "test_accuracy", "steps", "seconds"), float),
}
_CELLS_MAY_LACK = ("density", "cycle_max_lr", "train_loss", "val_accuracy", "test_accuracy")
_CHOSEN = {
    **dict.fromkeys(("way", "option"), str),
    **dict.fromkeys(("max_lr", "val_accuracy", "at_edge"), float),
}
_CHOSEN_MAY_LACK = ("max_lr", "val_accuracy", "at_edge")


# Schedules of this project's own, which the claim is not about.
OWN = ("gradient_matched",)


@dataclass(frozen=True)
class Comparison:
    """The result files of one comparison; a table is a mapping from column name to array.

    Attributes:
        workdir: Folder of the comparison.
        config: Nested experiment config.
        environment: Flat facts about software and hardware.
        along: What differs: "schedule" or a field of the config.
        options: Its values.
        reference: The option that the others are compared with.
        max_lrs: Grid of max_lr of the dense network; empty unless along is "schedule".
        ways: How max_lr was chosen: "tuned" on the dense network, and "hindsight", over all cycles,
            if that was done.
        tuning_seeds: The seeds that chose it; the others were trained with the chosen only.
        cells: One row an option, max_lr, seed and cycle.
        chosen: One row a way and option; NaN where every value diverged.
    """

    workdir: Path
    config: Mapping[str, Any]
    environment: Mapping[str, str]
    along: str
    options: tuple[str, ...]
    reference: str
    max_lrs: tuple[float, ...]
    ways: tuple[str, ...]
    tuning_seeds: tuple[int, ...]
    cells: Columns
    chosen: Columns

    @property
    def title(self) -> str:
        """Data set, model, and what differs."""
        names = [str(self.config[part]["name"]) for part in ("data", "model")]
        return " · ".join([*names, f"{self.along} compared"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds the comparison was asked for."""
        return tuple(self.config["seeds"])

    @property
    def chooses(self) -> NDArray[np.bool_]:
        """Marks, of the seeds, those that chose max_lr."""
        return np.isin(self.seeds, self.tuning_seeds)

    @property
    def num_cycles(self) -> int:
        """Cycles every cell was asked for, the dense one included."""
        return int(self.config["pruning"]["num_cycles"])

    @property
    def along_schedules(self) -> bool:
        """Whether schedules are compared, about which there is a claim."""
        return self.along == "schedule"

    @property
    def apart(self) -> tuple[str, ...]:
        """Options that are compared but are no rivals."""
        return tuple(option for option in self.options if self.along_schedules and option in OWN)

    def is_claimed(self, option: str) -> bool:
        """Whether there is a claim about the reference against an option."""
        return self.along_schedules and option not in (self.reference, *self.apart)

    @property
    def cycles_done(self) -> int:
        """Cycles that any cell has finished, the dense one included."""
        return int(self.cells["cycle"][self.cells["diverged"] == 0].max()) + 1

    @property
    def density(self) -> NDArray[np.float64]:
        """Mean density of each cycle that any cell has finished."""
        finished = self.cells["diverged"] == 0
        return over_seeds(self.cells["cycle"][finished], self.cells["density"][finished]).mean

    def chosen_max_lr(self, way: str, option: str) -> float:
        """The max_lr of the dense network that was chosen, NaN if none was."""
        return float(self._choice(way, option, "max_lr"))

    def at_edge(self, way: str, option: str) -> bool:
        """Whether the chosen max_lr is the largest or smallest of the grid."""
        return bool(self._choice(way, option, "at_edge") == 1)

    def cell_rows(self, option: str, max_lr: float) -> NDArray[np.bool_]:
        """Marks the rows of an option trained with a max_lr, of all seeds and cycles."""
        same = np.isclose(self.cells["max_lr"], max_lr, rtol=1e-9, atol=0)
        return same & (self.cells["option"] == option)

    def _choice(self, way: str, option: str, column: str) -> float:
        row = (self.chosen["way"] == way) & (self.chosen["option"] == option)
        return self.chosen[column][row][0]


def read_comparison(workdir: str | PathLike[str]) -> Comparison:
    """Reads and checks the result files of a comparison, finished or not.

    Args:
        workdir: Folder with study.json, config.json, environment.json, cells.csv and chosen.csv.

    Returns:
        The comparison's results.

    Raises:
        ValueError: If a file is missing, empty or malformed; one line that names file and column.
    """
    folder = Path(workdir)
    study = _read_study(folder / "study.json")
    config = read_config(folder / "config.json")
    comparison = Comparison(
        workdir=folder,
        config=config,
        environment=read_environment(folder / "environment.json"),
        along=study["along"],
        options=tuple(study["options"]),
        reference=study["reference"],
        max_lrs=tuple(study["max_lrs"]),
        ways=("tuned", "hindsight") if study["hindsight"] else ("tuned",),
        tuning_seeds=tuple(study.get("tuning_seeds", config["seeds"])),
        cells=read_csv(
            folder / "cells.csv",
            _CELLS,
            key=("option", "max_lr", "seed", "cycle"),
            optional=_CELLS_MAY_LACK,
        ),
        chosen=read_csv(
            folder / "chosen.csv", _CHOSEN, key=("way", "option"), optional=_CHOSEN_MAY_LACK
        ),
    )
    _check_cells(folder / "cells.csv", comparison)
    _check_chosen(folder / "chosen.csv", comparison)
    return comparison


def _read_study(path: Path) -> Mapping[str, Any]:
    study = read_object(path)
    options = study.get("options")
    allowed = {
        "along": "a name",
        "options": "two or more names, each once",
        "reference": "one of the options",
        "max_lrs": "a list of numbers",
        "hindsight": "true, false",
        "tuning_seeds": "a list of seeds",
    }
    good = {
        "along": _are([study.get("along")], str),
        "options": _are(options, str) and len(set(study["options"])) == len(study["options"]) > 1,
        "reference": isinstance(options, list) and study.get("reference") in options,
        "max_lrs": _are(study.get("max_lrs"), int | float),
        "hindsight": _are([study.get("hindsight")], bool),
        "tuning_seeds": _are(study.get("tuning_seeds", []), int),
    }
    for name, right in good.items():
        if not right:
            raise ValueError(f"{path}: {name} is {study.get(name)!r}; allowed: {allowed[name]}")
    return study


def _are(values: Any, kind: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _check_cells(path: Path, comparison: Comparison) -> None:
    cells, end = comparison.cells, comparison.num_cycles
    cycle, density = cells["cycle"], cells["density"]
    among = ", ".join(comparison.options)
    check(path, cells, "option", np.isin(cells["option"], comparison.options), among)
    seeds = comparison.seeds
    check(path, cells, "seed", np.isin(cells["seed"], seeds), ", ".join(map(str, seeds)))
    check(path, cells, "cycle", (cycle >= 0) & (cycle < end), f"0 to {end - 1}")
    check(path, cells, "diverged", np.isin(cells["diverged"], (0, 1)), "0, 1")
    finished = cells["diverged"] == 0
    if not finished.any():
        raise ValueError(f"{path}: every network diverged in its first cycle; nothing to compare")
    in_range = ~finished | ((density > 0) & (density <= 1))
    check(path, cells, "density", in_range, "above 0, up to 1")
    for name in ("val_accuracy", "test_accuracy"):
        there = np.isfinite(cells[name]) == finished
        check(path, cells, name, there, "a number, or empty with diverged 1")
    missing = set(range(max(cycle[finished]) + 1)) - set(cycle[finished])
    if missing:
        raise ValueError(f"{path}: cycle {min(missing)} is finished by no network")


def _check_chosen(path: Path, comparison: Comparison) -> None:
    chosen = comparison.chosen
    check(path, chosen, "way", np.isin(chosen["way"], comparison.ways), ", ".join(comparison.ways))
    among = ", ".join(comparison.options)
    check(path, chosen, "option", np.isin(chosen["option"], comparison.options), among)
    rows = set(zip(chosen["way"], chosen["option"], strict=True))
    for way in comparison.ways:
        for option in comparison.options:
            if (way, option) not in rows:
                raise ValueError(f"{path}: no row of way {way}, option {option}")
    pairs = zip(chosen["option"], chosen["max_lr"], strict=True)
    there = [
        np.isnan(max_lr) or comparison.cell_rows(option, max_lr).any() for option, max_lr in pairs
    ]
    check(path, chosen, "max_lr", there, "one of the option's in cells.csv")
