"""What a measurement of the premise wrote, read back and checked."""

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
    has_rows,
    no_rows,
    read_config,
    read_csv,
    read_environment,
    read_object,
)

MOMENTS = {
    "initialisation": "at initialisation",
    "warmed_up": "after warm-up",
    "end": "at the end of the cycle",
}
QUANTITIES = {
    "gradient": "gradients",
    "before": "representations before the activation",
    "after": "representations after the activation",
}
NETWORK = "network"

_WIDTHS = {
    **dict.fromkeys(("seed", "cycle", "num_values"), int),
    **dict.fromkeys(("moment", "quantity", "layer"), str),
    **dict.fromkeys(("std", "middle_90", "mean_size"), float),
}
_MEASURES = ("std", "middle_90", "mean_size")
_HISTOGRAMS = {
    **dict.fromkeys(("seed", "cycle", "count"), int),
    **dict.fromkeys(("moment", "quantity", "layer"), str),
    **dict.fromkeys(("left", "right"), float),
}
_LR = ("lr_initialisation", "lr_warmed_up", "lr_end")
_CYCLES = {
    **dict.fromkeys(("seed", "cycle"), int),
    **dict.fromkeys(("density", "max_lr", *_LR, "val_accuracy", "test_accuracy"), float),
}
_RUN = {"seed": int, "cycle": int, "max_lr": float, "seconds": float}


@dataclass(frozen=True)
class Premise:
    """The result files of one measurement; a table is a mapping from column name to array.

    Attributes:
        workdir: Folder of the measurement.
        config: Nested experiment config.
        environment: Flat facts about software and hardware.
        asked: Cycles that were asked for.
        num_images: On how many images it was measured.
        widths: One row a seed, cycle, moment, quantity and layer.
        histograms: One row a seed, cycle, moment, quantity and bin of the network's values that is
            not empty.
        layer_histograms: The same of each layer; without rows if they were not noted.
        cycles: One row a seed and cycle.
        run: One row a seed and cycle of the run, also of those that were not measured.
    """

    workdir: Path
    config: Mapping[str, Any]
    environment: Mapping[str, str]
    asked: tuple[int, ...]
    num_images: int
    widths: Columns
    histograms: Columns
    layer_histograms: Columns
    cycles: Columns
    run: Columns

    @property
    def title(self) -> str:
        """Data set, model and schedule."""
        names = [str(self.config[part]["name"]) for part in ("data", "model", "schedule")]
        return " · ".join([*names, "the premise measured"])

    @property
    def schedule(self) -> str:
        """Name of the schedule, with which the networks were trained."""
        name = str(self.config["schedule"]["name"])
        return "SILO" if name == "silo" else name

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that the measurement was asked for."""
        return tuple(self.config["seeds"])

    @property
    def seconds(self) -> float:
        """What the run has spent on training, without the measurements."""
        return float(np.nansum(self.run["seconds"]))

    @property
    def measured(self) -> NDArray[np.int64]:
        """Cycles that any seed has."""
        return np.unique(self.cycles["cycle"])

    @property
    def density(self) -> NDArray[np.float64]:
        """Mean density of each measured cycle."""
        return over_seeds(self.cycles["cycle"], self.cycles["density"]).mean

    @property
    def moments(self) -> tuple[str, ...]:
        """Moments that were measured, in their order."""
        return tuple(name for name in MOMENTS if name in self.widths["moment"])

    @property
    def quantities(self) -> tuple[str, ...]:
        """Quantities that the network has."""
        return tuple(name for name in QUANTITIES if name in self.widths["quantity"])

    def by_cycle(self, column: str) -> NDArray[np.float64]:
        """A column of cycles.csv, shape (measured cycles, seeds); NaN where there is no value."""
        return self._by_cycle(self.cycles, column, slice(None))

    def width(
        self, moment: str, quantity: str, measure: str = "std", layer: str = NETWORK
    ) -> NDArray[np.float64]:
        """A column of widths.csv, shape (measured cycles, seeds); NaN where there is no value."""
        rows = self.widths["moment"] == moment
        rows &= (self.widths["quantity"] == quantity) & (self.widths["layer"] == layer)
        return self._by_cycle(self.widths, measure, rows)

    def _by_cycle(
        self, table: Columns, column: str, rows: NDArray[np.bool_] | slice
    ) -> NDArray[np.float64]:
        values = np.full((len(self.measured), len(self.seeds)), np.nan)
        cycle = np.searchsorted(self.measured, table["cycle"][rows])
        order = {seed: index for index, seed in enumerate(self.seeds)}
        seed = [order[seed] for seed in table["seed"][rows].tolist()]
        values[cycle, seed] = table[column][rows]
        return values


def has_measurements(workdir: str | PathLike[str]) -> bool:
    """Whether a cycle was measured, so that there is something to report."""
    return has_rows(Path(workdir) / "cycles.csv")


def read_premise(workdir: str | PathLike[str]) -> Premise:
    """Reads and checks the result files of a measurement, finished or not.

    Args:
        workdir: Folder with study.json, config.json, environment.json, widths.csv, histograms.csv,
            cycles.csv, and the run's own run/cycles.csv.

    Returns:
        The measurement's results.

    Raises:
        ValueError: If a file is missing, empty or malformed; one line that names file and column.
    """
    folder = Path(workdir)
    asked, num_images = _read_study(folder / "study.json")
    key = ("seed", "cycle", "moment", "quantity", "layer")
    cycles = read_csv(
        folder / "cycles.csv", _CYCLES, key=("seed", "cycle"), optional=_LR, grows=True
    )
    widths = read_csv(folder / "widths.csv", _WIDTHS, key=key, optional=_MEASURES, grows=True)
    bins = (*key, "left")
    histograms = read_csv(folder / "histograms.csv", _HISTOGRAMS, key=bins, grows=True)
    layers = folder / "layer_histograms.csv"
    of_layers = no_rows(_HISTOGRAMS)
    if layers.exists():
        of_layers = read_csv(layers, _HISTOGRAMS, key=bins, may_be_empty=True, grows=True)
    premise = Premise(
        workdir=folder,
        config=read_config(folder / "config.json"),
        environment=read_environment(folder / "environment.json"),
        asked=asked,
        num_images=num_images,
        widths=_measured(widths, cycles, asked),
        histograms=_measured(histograms, cycles, asked),
        layer_histograms=_measured(of_layers, cycles, asked),
        cycles=cycles,
        run=read_csv(folder / "run" / "cycles.csv", _RUN, key=("seed", "cycle"), grows=True),
    )
    for name in ("widths", "histograms", "layer_histograms", "cycles"):
        _check(folder / f"{name}.csv", getattr(premise, name), premise)
    density = premise.cycles["density"]
    in_range = (density > 0) & (density <= 1)
    check(folder / "cycles.csv", premise.cycles, "density", in_range, "above 0, up to 1")
    return premise


def _measured(table: Columns, cycles: Columns, asked: tuple[int, ...]) -> Columns:
    """Leaves out a cycle that is just being measured, which has no row in cycles.csv yet."""
    done = {*zip(cycles["seed"].tolist(), cycles["cycle"].tolist(), strict=True)}
    pairs = zip(table["seed"].tolist(), table["cycle"].tolist(), strict=True)
    seeds = {*cycles["seed"].tolist()}
    kept = [pair in done or pair[0] not in seeds or pair[1] not in asked for pair in pairs]
    return {name: column[np.array(kept, bool)] for name, column in table.items()}


def _read_study(path: Path) -> tuple[tuple[int, ...], int]:
    study = read_object(path)
    cycles, num_images = study.get("cycles"), study.get("num_images")
    if not (isinstance(cycles, list) and cycles and all(type(c) is int for c in cycles)):
        raise ValueError(f"{path}: cycles is {cycles!r}; allowed: a list of integers")
    if type(num_images) is not int:
        raise ValueError(f"{path}: num_images is {num_images!r}; allowed: an integer")
    return tuple(cycles), num_images


def _check(path: Path, table: Columns, premise: Premise) -> None:
    allowed: dict[str, Any] = {"seed": premise.seeds, "cycle": premise.measured}
    allowed |= {"moment": tuple(MOMENTS), "quantity": tuple(QUANTITIES)}
    for column, values in allowed.items():
        if column in table:
            good = np.isin(table[column], values)
            check(path, table, column, good, ", ".join(map(str, values)))
