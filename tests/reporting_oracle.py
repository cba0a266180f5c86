"""Result files of a small Oracle search, written by formula."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.reporting_run import config, write_csv

GRID = (0.025, 0.05, 0.1, 0.2, 0.4)
BEST = (1, 1, 2, 3, 4)  # index of the best value of the grid by cycle
SILO = (0.05, 0.08, 0.1, 0.15, 0.2)
SEEDS, STEPS, TOLERANCE = (0, 1, 2), 30, 0.5

Row = dict[str, Any]


def density(cycle: int) -> float:
    return 0.8**cycle


def wave(cycle: int, seed: int) -> float:
    """What a seed is above or below the mean; the three add up to 0."""
    return 0.2 * (cycle + 1) * (seed - 1)


def accuracy(cycle: int, max_lr: float, seed: int) -> float:
    """Validation accuracy: a point lost for each doubling away from the best max_lr."""
    return 97 - cycle - abs(math.log2(max_lr / GRID[BEST[cycle]])) + wave(cycle, seed)


def test_accuracy(cycle: int, max_lr: float, seed: int) -> float:
    return accuracy(cycle, max_lr, seed) - 1 + 0.1 * seed * max_lr


test_accuracy.__test__ = False  # type: ignore[attr-defined]


def network(cycle: int, max_lr: float, seed: int) -> Row:
    return (
        {"cycle": cycle, "max_lr": max_lr, "seed": seed, "density": density(cycle)}
        | {"train_loss": 0.1, "val_loss": 0.2, "val_accuracy": accuracy(cycle, max_lr, seed)}
        | {"test_accuracy": test_accuracy(cycle, max_lr, seed), "steps": STEPS, "seconds": 0.5}
        | {"diverged": 0}
    )


def lost(row: Row) -> Row:
    """The row if the network had diverged."""
    gone = ("density", "train_loss", "val_loss", "val_accuracy", "test_accuracy")
    return row | dict.fromkeys(gone, "") | {"diverged": 1}


def grid_rows(cycles: int = len(BEST), seeds: Sequence[int] = SEEDS) -> list[Row]:
    return [
        network(cycle, max_lr, seed) for cycle in range(cycles) for max_lr in GRID for seed in seeds
    ]


def silo_rows(cycles: int = len(BEST), seeds: Sequence[int] = SEEDS) -> list[Row]:
    return [network(cycle, SILO[cycle], seed) for cycle in range(cycles) for seed in seeds]


def interval(best: float, tolerance: float) -> tuple[float, float, int, int]:
    """The range within a tolerance, linear in log max_lr, and whether its ends are open."""
    low, high = best * 2**-tolerance, best * 2**tolerance
    return max(low, GRID[0]), min(high, GRID[-1]), int(low < GRID[0]), int(high > GRID[-1])


def choice(cycle: int, best: float | None = None) -> Row:
    """The row of a cycle, as if that max_lr had been the best if one is given."""
    error = 0.2 * (cycle + 1) / math.sqrt(3)
    ends = ("low", "high", "low_open", "high_open")
    se_ends = tuple(f"se_{end}" for end in ends)
    best = GRID[BEST[cycle]] if best is None else best
    return (
        {"cycle": cycle, "density": density(cycle), "max_lr": best, "val_accuracy": 97 - cycle}
        | {"test_accuracy": 96 - cycle + 0.1 * best, "num_values": len(GRID), "num_diverged": 0}
        | {"tied": "", "gaps": 0, "standard_error": error}
        | dict(zip(ends, interval(best, TOLERANCE), strict=True))
        | dict(zip(se_ends, interval(best, error), strict=True))
    )


def no_choice(cycle: int) -> Row:
    """The row of a cycle in which every value diverged."""
    kept = {"cycle": cycle, "num_values": len(GRID), "num_diverged": len(GRID)}
    return dict.fromkeys(choice(cycle), "") | kept


def write_search(
    folder: Path,
    *,
    kind: str = "oracle",
    grid: list[Row] | None = None,
    silo: list[Row] | None = None,
    choices: list[Row] | None = None,
    seeds: Sequence[int] = SEEDS,
    select: str = "last",
) -> None:
    """Writes the result files of a search."""
    cycles = 2 if kind == "tune" else len(BEST)
    settings = config() | {"seeds": list(seeds), "evaluation": {"select": select}}
    settings["pruning"] = {"num_cycles": len(BEST), "fraction": 0.2}
    folder.mkdir(exist_ok=True)
    (folder / "study.json").write_text(json.dumps({"kind": kind, "tolerance": TOLERANCE}))
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "environment.json").write_text(json.dumps({"jax": "9.8.7", "command": "oracle"}))
    write_csv(folder, "grid", grid or grid_rows(cycles, seeds))
    write_csv(folder, "choices", choices or [choice(cycle) for cycle in range(cycles)])
    if kind == "oracle":
        write_csv(folder, "silo", silo or silo_rows(seeds=seeds))
