"""Result files of a small comparison, written by formula."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from tests.reporting_run import config, write_csv

GRID = (0.05, 0.1, 0.2)
OPTIONS = ("silo", "cosine", "constant")
LOSSES = {option: 0.4 * index for index, option in enumerate(OPTIONS)}
SEEDS, CYCLES, STEPS = (0, 1, 2), 5, 30
CHOSEN = {"tuned": 0.1, "hindsight": 0.2}
FIGURES = ("accuracy_by_density", "differences_by_density", "max_lr_by_cycle", "accuracy_by_max_lr")

Row = dict[str, Any]


def density(cycle: int) -> float:
    return 0.8**cycle


def accuracy(option: str, max_lr: float, cycle: int, seed: int) -> float:
    """Test accuracy: of the dense network best at 0.1, over all cycles at 0.2; validation is 1 up.

    Beside the max_lr, an option loses its share of a point a cycle; the seeds spread by a wave.
    """
    rank = GRID.index(max_lr) if max_lr in GRID else 1
    tuning = (1.0, 0.0, 0.5)[rank] if cycle == 0 else 2 - rank
    wave = 0.1 * math.sin(1 + 2 * seed + cycle + len(option))
    return 96 - 0.3 * cycle - LOSSES.get(option, 1) * cycle - tuning + wave


def cell_rows(
    options: Sequence[str] = OPTIONS,
    grid: Sequence[float] = GRID,
    seeds: Sequence[int] = SEEDS,
    cycles: int = CYCLES,
    test: Callable[[str, float, int, int], float] = accuracy,
) -> list[Row]:
    """Rows of cells.csv; SILO's max_lr grows with the cycle."""
    return [
        {"option": option, "max_lr": max_lr, "seed": seed, "cycle": cycle}
        | {"density": density(cycle), "train_loss": 0.1, "diverged": 0}
        | {"cycle_max_lr": max_lr * (1 + cycle / 4 * (option == "silo"))}
        | {"val_accuracy": test(option, max_lr, cycle, seed) + 1}
        | {"test_accuracy": test(option, max_lr, cycle, seed), "steps": STEPS, "seconds": 0.5}
        for option in options
        for max_lr in grid
        for seed in seeds
        for cycle in range(cycles)
    ]


def diverge(rows: list[Row], option: str, max_lr: float, seed: int, cycle: int) -> list[Row]:
    """The rows if a cell had diverged in a cycle."""
    kept = []
    for row in rows:
        is_other = (row["option"], row["max_lr"], row["seed"]) != (option, max_lr, seed)
        if is_other or row["cycle"] < cycle:
            kept.append(row)
        elif row["cycle"] == cycle:
            lost = dict.fromkeys(("density", "train_loss", "val_accuracy", "test_accuracy"), "")
            kept.append(row | lost | {"diverged": 1})
    return kept


def write_comparison(
    folder: Path,
    rows: list[Row] | None = None,
    *,
    options: Sequence[str] = OPTIONS,
    chosen: dict[str, float] | None = None,
    along: str = "schedule",
    seeds: Sequence[int] = SEEDS,
    cycles: int = CYCLES,
    grid: Sequence[float] = GRID,
    select: str = "last",
    tuning_seeds: Sequence[int] = (),
) -> list[Row]:
    """Writes the result files of a comparison and returns the rows of its cells."""
    rows = cell_rows(options, seeds=seeds, cycles=cycles) if rows is None else rows
    ways = chosen or {"tuned": 0.1, "hindsight": 0.2}
    study = {"kind": "comparison", "along": along, "options": list(options)}
    study |= {"reference": options[0], "max_lrs": list(grid) if along == "schedule" else []}
    if tuning_seeds:
        study["tuning_seeds"] = list(tuning_seeds)
    settings = config() | {"seeds": list(seeds), "evaluation": {"select": select}}
    settings["pruning"] = {"num_cycles": cycles, "fraction": 0.2}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(study | {"hindsight": "hindsight" in ways}))
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "environment.json").write_text(json.dumps({"jax": "9.8.7", "command": "compare"}))
    write_csv(folder, "cells", rows)
    edge = {max_lr: int(max_lr in (min(grid), max(grid))) for max_lr in grid}
    write_csv(
        folder,
        "chosen",
        [
            {"way": way, "option": option, "max_lr": max_lr, "val_accuracy": 96.0}
            | {"at_edge": edge[max_lr], "num_seeds": len(seeds)}
            for way, max_lr in ways.items()
            for option in options
        ],
    )
    return rows


def scores_of(option: str, way: str = "hindsight") -> np.ndarray:
    """Test accuracy by the formula, shape (cycles, seeds)."""
    return np.array([[accuracy(option, CHOSEN[way], m, s) for s in SEEDS] for m in range(CYCLES)])


def interval(ours: np.ndarray, others: np.ndarray) -> list[str]:
    """Mean difference and scipy's 95 % interval, as they are written."""
    low, high = stats.ttest_rel(ours, others).confidence_interval(0.95)
    return [f"{value:+.2f}".replace("-", "−") for value in (np.mean(ours - others), low, high)]
