"""A measurement of the premise whose numbers are known, as files."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from silo_jax.diagnostics import histogram
from silo_jax.files import csv_text
from silo_jax.studies.premise_files import CYCLE_COLUMNS, HISTOGRAM_COLUMNS, WIDTH_COLUMNS

CYCLES, SEEDS = (0, 2, 5), (0, 1, 2)
MAX_LR = {0: 0.1, 1: 0.1, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.4}
LAYERS = {"gradient": ("Dense_10/kernel", "Dense_2/kernel"), "before": ("Activation_0",)}
LAYERS["after"] = LAYERS["before"]


def width(seed: int, cycle: int, moment: str, quantity: str) -> float:
    """Gradients are narrower as max_lr is larger, at the end wider; representations halve twice."""
    if quantity == "gradient":
        steeper = {"initialisation": -1.0, "warmed_up": -0.5, "end": 1.0}[moment]
        return (1 + seed) * 0.01 * (MAX_LR[cycle] / 0.1) ** (steeper * (1 + 0.1 * (seed - 1)))
    return 2.0 ** -CYCLES.index(cycle)


def values(seed: int, cycle: int, moment: str, quantity: str) -> Any:
    draws = np.random.default_rng(seed).normal(size=400)
    draws *= width(seed, cycle, moment, quantity)
    return np.maximum(draws, 0) if quantity == "after" else draws


def write_premise(
    folder: Path,
    *,
    seeds: tuple[int, ...] = SEEDS,
    cycles: tuple[int, ...] = CYCLES,
    moments: tuple[str, ...] = ("initialisation", "warmed_up", "end"),
    quantities: tuple[str, ...] = ("gradient", "before", "after"),
    diverged: tuple[tuple[int, int], ...] = (),
    schedule: str = "silo",
) -> Path:
    """Writes the files.

    Args:
        folder: Where.
        seeds: Of the config.
        cycles: That were asked for.
        moments: That were measured.
        quantities: That the network has.
        diverged: Seed and cycle that are not there.
        schedule: Name of the schedule.
    """
    config = {
        "data": {"name": "digits"},
        "model": {"name": "mlp"},
        "schedule": {"name": schedule},
        "pruning": {"num_cycles": 6, "fraction": 0.2},
        "seeds": list(seeds),
    }
    study = {"kind": "premise", "cycles": list(cycles), "num_images": 512}
    for name, content in (("config", config), ("study", study), ("environment", {"jax": "1"})):
        (folder / f"{name}.json").write_text(json.dumps(content))
    there = [(seed, cycle) for seed in seeds for cycle in cycles if (seed, cycle) not in diverged]
    widths, histograms, rows = [], [], []
    for seed, cycle in there:
        base: dict[str, Any] = {"seed": seed, "cycle": cycle, "density": 0.8**cycle}
        rates = {f"lr_{moment}": MAX_LR[cycle] for moment in moments} | {"lr_initialisation": 0.0}
        scores = {"val_accuracy": 90.0, "test_accuracy": 91.0}
        rows.append(base | {"max_lr": MAX_LR[cycle]} | rates | scores)
        for moment in moments:
            for quantity in quantities:
                std = width(seed, cycle, moment, quantity)
                spread = {"num_values": 400, "std": std, "middle_90": 3 * std, "mean_size": std / 2}
                bins = histogram(values(seed, cycle, moment, quantity))
                for layer in (*LAYERS[quantity], "network"):
                    row = base | {"moment": moment, "quantity": quantity, "layer": layer}
                    widths.append(row | spread)
                    row.pop("density")
                    for left, right, count in zip(*bins, strict=True):
                        histograms.append(row | {"left": left, "right": right, "count": count})
    run = [
        {"seed": seed, "cycle": cycle, "max_lr": max_lr, "seconds": 0.5}
        for seed in seeds
        for cycle, max_lr in MAX_LR.items()
        if (seed, cycle) not in diverged
    ]
    (folder / "run").mkdir(exist_ok=True)
    for name, columns, table in (
        ("widths", WIDTH_COLUMNS, widths),
        ("histograms", HISTOGRAM_COLUMNS, histograms),
        ("cycles", CYCLE_COLUMNS, rows),
        ("run/cycles", ("seed", "cycle", "max_lr", "seconds"), run),
    ):
        (folder / f"{name}.csv").write_text(csv_text(columns, table, header=True))
    return folder
