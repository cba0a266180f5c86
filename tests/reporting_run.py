"""Result files of a small run, written by formula."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from silo_jax.reporting import RunResults, results_table

CYCLES, EPOCHS, STEPS, SEEDS, FRACTION = 5, 3, 10, (0, 1, 2), 0.2
SIZES = {"Dense_0/kernel": 1000, "Dense_1/kernel": 200}
FILES = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "cycles.csv",
    "layers.csv",
    "schedule.csv",
)
FIGURES = (
    "accuracy_by_density",
    "max_lr_by_cycle",
    "lr_by_step",
    "training_curves",
    "sparsity_by_layer",
)


def density(cycle: int) -> float:
    return (1 - FRACTION) ** cycle


def accuracy(cycle: int, seed: int) -> float:
    """Means over seeds 0, 1, 2 are 97, 97.25, 96.5, 94.75, 92; the spread grows with the cycle."""
    return 97 + 0.75 * cycle - 0.5 * cycle**2 + (seed - 1) * 0.1 * (cycle + 1)


def result_rows(cycles_of: dict[int, int]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the result files, by formula, for seeds with so many finished cycles each."""
    done = [(cycle, seed) for seed, number in cycles_of.items() for cycle in range(number)]
    return {
        "cycles": [
            {"cycle": m, "seed": s, "density": density(m), "weights_left": round(1200 * density(m))}
            | {"max_lr": 0.1 * (m + 1), "train_loss": 0.01 * (m + 1) + 0.001 * s}
            | {"train_accuracy": 99.0, "val_loss": 0.25, "val_accuracy": accuracy(m, s) + 1}
            | {"test_loss": 0.3, "test_accuracy": accuracy(m, s), "seconds": s + 1}
            for m, s in done
        ],
        "layers": [
            {"cycle": m, "seed": s, "layer": name, "size": size}
            | {"kept": round(size * density(m)), "density": round(size * density(m)) / size}
            for m, s in done
            for name, size in SIZES.items()
        ],
        "metrics": [
            {"seed": s, "cycle": m, "epoch": e, "step": (m * EPOCHS + e) * STEPS}
            | {"density": density(m), "lr": 0.1 / e, "train_loss": 1 / e, "train_accuracy": 90 + e}
            | {"val_loss": 1.5 / e, "val_accuracy": 89.0 + e + s, "seconds": 0.1}
            for m, s in done
            for e in range(1, EPOCHS + 1)
        ],
        "schedule": [
            {"step": step, "lr": 0.1 * (1 + step // (EPOCHS * STEPS))}
            for step in range(0, CYCLES * EPOCHS * STEPS, 5)
        ],
    }


def config() -> dict[str, Any]:
    return {
        "data": {"name": "digits"},
        "model": {"name": "lenet_300_100"},
        "pruning": {"num_cycles": CYCLES, "fraction": FRACTION, "criterion": "magnitude"},
        "schedule": {"name": "silo", "lower": 0.1, "upper": 0.5},
        "training": {"optimizer": {"momentum": 0.9}},
        "seeds": list(SEEDS),
    }


def write_run(
    folder: Path, cycles_of: dict[int, int] | None = None, settings: dict[str, Any] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Writes the result files of a run and returns their rows."""
    rows = result_rows(cycles_of or dict.fromkeys(SEEDS, CYCLES))
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings or config()))
    (folder / "environment.json").write_text(json.dumps({"jax": "9.8.7", "host cores": "2"}))
    write_metrics(folder, rows["metrics"])
    for name in ("cycles", "layers", "schedule"):
        write_csv(folder, name, rows[name])
    return rows


def without_scripts(html: str) -> str:
    """A page without the library and the data that its figures are drawn from."""
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def write_metrics(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def columns(path: Path, **where: str) -> dict[str, list[str]]:
    """The columns of a CSV file's rows with given values."""
    rows = [row for row in read_rows(path) if all(row[k] == v for k, v in where.items())]
    assert rows, where
    return {name: [row[name] for row in rows] for name in rows[0]}


def numbers(values: list[str]) -> np.ndarray:
    return np.array([float(value) if value else np.nan for value in values])


def replace_text(name: str, old: str, new: str) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return apply


def printed(run: RunResults, width: int = 120) -> list[list[str]]:
    """The results table as a terminal shows it: the cells of each row that starts with a cycle."""
    console = Console(width=width, force_terminal=False, _environ={})
    with console.capture() as capture:
        console.print(results_table(run))
    cells = [re.split(r"\s{2,}", line.strip()) for line in capture.get().splitlines()]
    return [row for row in cells if row[0].isdigit()]


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    write_run(tmp_path)
    return tmp_path
