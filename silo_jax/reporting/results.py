"""What a run wrote, read back and checked."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

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
_LAYERS = {"cycle": int, "seed": int, "layer": str, "size": int, "kept": int, "density": float}
_SCHEDULE = {"step": int, "lr": float}
_DIVERGED = {
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
    def finished(self) -> bool:
        """Whether every seed has every cycle."""
        return all(done == self.num_cycles for done in self.cycles_done.values())


def has_results(workdir: str | PathLike[str]) -> bool:
    """Whether a run has finished a cycle, so that there is something to report."""
    path = Path(workdir) / "cycles.csv"
    return path.exists() and len(_read_text(path).splitlines()) > 1


def read_run(workdir: str | PathLike[str]) -> RunResults:
    """Reads and checks the result files of a run, finished or not.

    Args:
        workdir: Folder with config.json, environment.json, metrics.jsonl, cycles.csv, layers.csv
            and schedule.csv.

    Returns:
        The run's results, rows in the order of (cycle, seed, ...).

    Raises:
        ValueError: If a file is missing, empty or malformed; one line that names the file.
    """
    folder = Path(workdir)
    run = RunResults(
        workdir=folder,
        config=_read_config(folder / "config.json"),
        environment={k: str(v) for k, v in _read_object(folder / "environment.json").items()},
        metrics=_read_jsonl(folder / "metrics.jsonl", _METRICS, key=("cycle", "epoch", "seed")),
        cycles=_read_csv(folder / "cycles.csv", _CYCLES, key=("cycle", "seed")),
        layers=_read_csv(folder / "layers.csv", _LAYERS, key=("cycle", "seed", "layer")),
        schedule=_read_csv(folder / "schedule.csv", _SCHEDULE, key=("step",)),
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
        return {name: np.array([], kind) for name, kind in _DIVERGED.items()}
    return _read_csv(path, _DIVERGED, key=("seed", "cycle", "step", "max_lr"))


def _read_config(path: Path) -> Mapping[str, Any]:
    config = _read_object(path)
    required = ("data.name", "model.name", "schedule.name", "pruning.num_cycles")
    for name in (*required, "pruning.fraction", "seeds"):
        value: Any = config
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise ValueError(f"{path}: no field {name!r}")
            value = value[part]
        if name.startswith("pruning.") and not isinstance(value, int | float):
            raise ValueError(f"{path}: {name} is {value!r}, not a number")
        if name == "seeds" and not (
            isinstance(value, list) and value and all(isinstance(seed, int) for seed in value)
        ):
            raise ValueError(f"{path}: seeds is {value!r}, not a list of integers")
    return config


def _check_range(path: Path, table: Columns, run: RunResults) -> None:
    cycle, seed = table["cycle"], table["seed"]
    if 0 not in cycle:
        raise ValueError(f"{path}: no row of cycle 0, the dense network")
    if not np.all((cycle >= 0) & (cycle < run.num_cycles)):
        raise ValueError(f"{path}: a cycle outside 0..{run.num_cycles - 1}, config.json's range")
    if not np.all(np.isin(seed, run.seeds)):
        raise ValueError(f"{path}: a seed that is not among config.json's {list(run.seeds)}")


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ValueError(f"{path}: cannot be read ({reason})") from error
    if not text.strip():
        raise ValueError(f"{path}: is empty")
    return text


def _read_object(path: Path) -> dict[str, Any]:
    return _parse_object(_read_text(path), str(path))


def _parse_object(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: is not valid JSON ({error.msg})") from error
    if type(value) is not dict:
        raise ValueError(f"{place}: is not a JSON object")
    return value


def _read_jsonl(path: Path, kinds: Mapping[str, type], key: Sequence[str]) -> Columns:
    lines = enumerate(_read_text(path).splitlines(), start=1)
    records = (
        (number, _parse_object(line, f"{path} line {number}")) for number, line in lines if line
    )
    return _columns(path, records, kinds, key)


def _read_csv(path: Path, kinds: Mapping[str, type], key: Sequence[str]) -> Columns:
    reader = csv.DictReader(_read_text(path).splitlines())
    missing = [name for name in kinds if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}")
    return _columns(path, ((reader.line_num, record) for record in reader), kinds, key)


def _columns(
    path: Path,
    records: Iterable[tuple[int, Mapping[str, Any]]],
    kinds: Mapping[str, type],
    key: Sequence[str],
) -> Columns:
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line, record in records:
        row = {}
        for name, kind in kinds.items():
            try:
                row[name] = _parse(record.get(name), kind)
            except (TypeError, ValueError) as error:
                wanted = {int: "an integer", float: "a number", str: "a name"}[kind]
                found = repr(record.get(name))
                message = f"{path} line {line}: {name} is {found}, not {wanted}"
                raise ValueError(message) from error
        rows[tuple(row[name] for name in key)] = row
    if not rows:
        raise ValueError(f"{path}: has no rows")
    ordered = sorted(rows.values(), key=lambda row: [row[k] for k in key if kinds[k] is int])
    return {name: np.array([row[name] for row in ordered], kind) for name, kind in kinds.items()}


def _parse(value: Any, kind: type) -> int | float | str:
    if kind is str:
        if not isinstance(value, str) or not value:
            raise ValueError("empty")
        return value
    number = float(value)
    if kind is int:
        if not number.is_integer():
            raise ValueError("not an integer")
        return int(number)
    return number if math.isfinite(number) else math.nan
