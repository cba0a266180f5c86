"""What a search of max_lr wrote, read back and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.reading import (
    Columns,
    check,
    no_rows,
    read_config,
    read_csv,
    read_environment,
    read_object,
)

_GRID = {
    **dict.fromkeys(("cycle", "seed", "diverged"), int),
    **dict.fromkeys(("max_lr", "density", "train_loss", "val_loss"), float),
    **dict.fromkeys(("val_accuracy", "test_accuracy", "steps", "seconds"), float),
}
_GRID_MAY_LACK = ("density", "train_loss", "val_loss", "val_accuracy", "test_accuracy")
_FLAGS = ("low_open", "high_open", "gaps", "se_low_open", "se_high_open")
_CHOICES_MAY_LACK = (
    *("density", "max_lr", "val_accuracy", "test_accuracy"),
    *("low", "high", "se_low", "se_high", "standard_error", "tied"),
    *_FLAGS,
)
_CHOICES = {
    **dict.fromkeys(("cycle", "num_values", "num_diverged"), int),
    **dict.fromkeys(_CHOICES_MAY_LACK, float),
    "tied": str,
}


class Curve(NamedTuple):
    """An S-curve of max_lr, as `silo_peaks` has it.

    Attributes:
        lower: max_lr of the dense network.
        upper: max_lr that is approached at full sparsity.
        steepness: β.
        delay: In cycles.
        rms: Root of the mean square of the residuals, relative to max_lr.
        constant_rms: That of the best constant; NaN where it is not known.
    """

    lower: float
    upper: float
    steepness: float
    delay: int
    rms: float
    constant_rms: float = np.nan


@dataclass(frozen=True)
class OracleSearch:
    """The result files of a search; a table is a mapping from column name to array.

    Attributes:
        workdir: Folder of the search.
        config: Nested experiment config.
        environment: Flat facts about software and hardware.
        kind: "oracle" or "tune".
        tolerance: Of the Oracle interval, in percentage points of validation accuracy.
        grid: One row a cycle, max_lr and seed that was tried.
        silo: The same of SILO as configured; without rows where bounds are tuned.
        choices: One row a cycle, with the best max_lr and its intervals; NaN where every value
            diverged.
        fit: The S-curve that comes closest to the choices, if it was fitted.
    """

    workdir: Path
    config: Mapping[str, Any]
    environment: Mapping[str, str]
    kind: str
    tolerance: float
    grid: Columns
    silo: Columns
    choices: Columns
    fit: Curve | None

    @property
    def title(self) -> str:
        """Data set, model, and what was searched."""
        names = [str(self.config[part]["name"]) for part in ("data", "model")]
        return " · ".join([*names, "Oracle" if self.kind == "oracle" else "bounds of max_lr"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds the search was asked for."""
        return tuple(self.config["seeds"])

    @property
    def num_cycles(self) -> int:
        """Cycles the config asks for, the dense one included."""
        return int(self.config["pruning"]["num_cycles"])

    @property
    def num_searched(self) -> int:
        """Cycles of this search, the dense one included: two where bounds are tuned."""
        return 2 if self.kind == "tune" else self.num_cycles

    @property
    def seconds(self) -> float:
        """What was spent on training, networks that diverged included."""
        return float(sum(np.nansum(table["seconds"]) for table in (self.grid, self.silo)))

    @property
    def has_choice(self) -> NDArray[np.bool_]:
        """Marks the rows of choices in which some max_lr was chosen."""
        return np.isfinite(self.choices["max_lr"])


def read_oracle(workdir: str | PathLike[str]) -> OracleSearch:
    """Reads and checks the result files of an Oracle search, or of one that tunes the bounds.

    Args:
        workdir: Folder with study.json, config.json, environment.json, grid.csv, choices.csv, for
            an Oracle silo.csv, and perhaps fit.json.

    Returns:
        The search's results, rows in the order of cycles. Of a search that is going on, tables may
        be empty.

    Raises:
        ValueError: If a file is missing, empty or malformed; one line that names file and column.
    """
    folder = Path(workdir)
    study = read_object(folder / "study.json")
    tolerance = study.get("tolerance")
    if not isinstance(tolerance, int | float) or not 0 <= tolerance < np.inf:
        message = f"tolerance is {tolerance!r}; allowed: percentage points, 0 or more"
        raise ValueError(f"{folder / 'study.json'}: {message}")
    kind = study.get("kind")
    if kind not in ("oracle", "tune"):
        raise ValueError(f"{folder / 'study.json'}: kind is {kind!r}; allowed: oracle, tune")
    search = OracleSearch(
        workdir=folder,
        config=read_config(folder / "config.json"),
        environment=read_environment(folder / "environment.json"),
        kind=kind,
        tolerance=float(tolerance),
        grid=_read_networks(folder / "grid.csv"),
        silo=no_rows(_GRID) if kind == "tune" else _read_networks(folder / "silo.csv"),
        choices=read_csv(
            folder / "choices.csv",
            _CHOICES,
            key=("cycle",),
            optional=_CHOICES_MAY_LACK,
            may_be_empty=True,
        ),
        fit=_read_fit(folder / "fit.json"),
    )
    for name in ("grid", "silo", "choices"):
        _check_range(
            folder / f"{name}.csv", getattr(search, name), search.seeds, search.num_searched
        )
    _check_choices(folder / "choices.csv", search)
    return search


def _read_networks(path: Path) -> Columns:
    key = ("cycle", "max_lr", "seed")
    table = read_csv(path, _GRID, key=key, optional=_GRID_MAY_LACK, may_be_empty=True)
    check(path, table, "diverged", np.isin(table["diverged"], (0, 1)), "0, 1")
    check(path, table, "max_lr", table["max_lr"] > 0, "above 0")
    finished, density = table["diverged"] == 0, table["density"]
    in_range = ~finished | ((density > 0) & (density <= 1))
    check(path, table, "density", in_range, "above 0, up to 1")
    for name in ("val_accuracy", "test_accuracy"):
        there = np.isfinite(table[name]) == finished
        check(path, table, name, there, "a number, or empty with diverged 1")
    return table


def _read_fit(path: Path) -> Curve | None:
    if not path.exists():
        return None
    fit = Curve._field_defaults | read_object(path)
    for name in Curve._fields:
        kinds = int if name == "delay" else int | float
        if not isinstance(fit.get(name), kinds):
            allowed = "a whole number" if name == "delay" else "a number"
            raise ValueError(f"{path}: {name} is {fit.get(name)!r}; allowed: {allowed}")
    return Curve(**{name: fit[name] for name in Curve._fields})


def _check_range(path: Path, table: Columns, seeds: tuple[int, ...], num_cycles: int) -> None:
    cycle = table["cycle"]
    check(path, table, "cycle", (cycle >= 0) & (cycle < num_cycles), f"0 to {num_cycles - 1}")
    if "seed" in table:
        check(path, table, "seed", np.isin(table["seed"], seeds), ", ".join(map(str, seeds)))


def _check_choices(path: Path, search: OracleSearch) -> None:
    choices, chosen = search.choices, search.has_choice
    in_order = choices["cycle"] == np.arange(len(chosen))
    check(path, choices, "cycle", in_order, "0, 1, … without a gap")
    tried = set(zip(search.grid["cycle"], search.grid["max_lr"], strict=True))
    pairs = zip(choices["cycle"], choices["max_lr"], strict=True)
    known = np.array([pair in tried for pair in pairs], bool)
    check(path, choices, "max_lr", known | ~chosen, "one of the cycle's in grid.csv, or empty")
    check(path, choices, "density", np.isfinite(choices["density"]) | ~chosen, "a number")
    for part in ("", "se_"):
        low, high = choices[f"{part}low"], choices[f"{part}high"]
        below = ~(low > choices["max_lr"] * (1 + 1e-9))
        check(path, choices, f"{part}low", below, "max_lr or less")
        above = ~(high < choices["max_lr"] * (1 - 1e-9)) & (np.isnan(low) == np.isnan(high))
        check(path, choices, f"{part}high", above, "max_lr or more, empty where low is")
    for name in _FLAGS:
        good = np.isin(choices[name], (0, 1)) | np.isnan(choices[name])
        check(path, choices, name, good, "0, 1, or empty")
