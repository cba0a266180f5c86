"""The tables of a measurement of the premise, as `silo_jax.reporting` reads them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from silo_jax.files import append_text, csv_text, write_atomically

Row = dict[str, Any]

NETWORK = "network"  # in place of a layer's name: all layers together

WIDTH_COLUMNS = (
    *("seed", "cycle", "density", "moment", "quantity", "layer"),
    *("num_values", "std", "middle_90", "mean_size"),
)
HISTOGRAM_COLUMNS = ("seed", "cycle", "moment", "quantity", "layer", "left", "right", "count")
CYCLE_COLUMNS = (
    *("seed", "cycle", "density", "max_lr", "lr_initialisation", "lr_warmed_up", "lr_end"),
    *("val_accuracy", "test_accuracy"),
)


def cycles_of_run(run: Path) -> dict[tuple[int, int], Row]:
    """The rows of the cycles that a run has finished, by seed and cycle."""
    with (run / "cycles.csv").open(newline="") as file:
        return {(int(row["seed"]), int(row["cycle"])): row for row in csv.DictReader(file)}


class PremiseFiles:
    """The tables; a cycle is measured when it has a row in cycles.csv, which is written last."""

    def __init__(self, directory: Path) -> None:
        self._tables = {
            directory / "layer_histograms.csv": HISTOGRAM_COLUMNS,
            directory / "histograms.csv": HISTOGRAM_COLUMNS,
            directory / "widths.csv": WIDTH_COLUMNS,
            directory / "cycles.csv": CYCLE_COLUMNS,
        }
        for path, columns in self._tables.items():
            if not path.exists():
                write_atomically(path, csv_text(columns, [], header=True))

    def add(self, cycle_row: Row, widths: Sequence[Row], histograms: Sequence[Row]) -> None:
        """Adds a cycle; what the tables have no column for is left out.

        The histograms of the layers, many times as many rows, are in a file of their own.
        """
        network = [row for row in histograms if row["layer"] == NETWORK]
        layers = [row for row in histograms if row["layer"] != NETWORK]
        rows = (layers, network, widths, [cycle_row])
        for (path, columns), added in zip(self._tables.items(), rows, strict=True):
            told = [{name: row[name] for name in columns if name in row} for row in added]
            append_text(path, csv_text(columns, told))

    def drop_unfinished(self) -> set[tuple[int, int]]:
        """Drops what a cycle left that was not measured to its end; the others, seed and cycle."""
        *_, cycles = self._tables
        _, finished = _keyed_lines(cycles)
        measured = {key for key, _ in finished}
        for path in self._tables:
            header, lines = _keyed_lines(path)
            kept = "".join([header, *(line for key, line in lines if key in measured)])
            if kept != path.read_text(errors="replace"):
                write_atomically(path, kept)
        return measured


def _keyed_lines(path: Path) -> tuple[str, list[tuple[tuple[int, int], str]]]:
    """The header of a table, and its whole lines with their seed and cycle.

    Raises:
      OSError: one line; a line is damaged.
    """
    header, *lines = path.read_text(errors="replace").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    try:
        keys = [(int(seed), int(cycle)) for seed, cycle, _ in (s.split(",", 2) for s in whole)]
    except ValueError:
        raise OSError(f"{path}: is damaged") from None
    return header, list(zip(keys, whole, strict=True))
