"""The numbers of results.md, from what the studies left in benchmarks/results/studies."""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from silo_jax.reporting.aggregate import format_spread, over_present
from silo_jax.reporting.comparison import Comparison, read_comparison
from silo_jax.reporting.comparison.numbers import (
    Contest,
    Scores,
    contest,
    over_pruned,
    overall_difference,
    scores,
)
from silo_jax.reporting.comparison.text import notes
from silo_jax.reporting.oracle import OracleSearch, read_oracle
from silo_jax.reporting.oracle.numbers import (
    Share,
    accuracy_differences,
    best_constant,
    cost,
    median_width,
    share_inside,
    silo_and_intervals,
)
from silo_jax.reporting.paired import Paired

FOLDER = Path(__file__).parents[1] / "benchmarks/results/studies"
KINDS = ("compare", "oracle", "premise", "tune")
# Test accuracy of ResNet-20 on CIFAR-10 by density, LR rewinding: Renda, Frankle & Carbin 2020,
# medians of the data published with the paper (rewinding-iclr20-public).
RENDA = {1.0: 91.71, 0.107: 91.01}
DATA_SETS = {"digits": "digits", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
NETWORKS = {"mlp": "MLP", "lenet_300_100": "LeNet-300-100", "resnet20": "ResNet-20"}
REWOUND = {"weights": "weights rewound", "lr": "LR rewound"}
MOMENTS = {
    "initialisation": "at a cycle's start",
    "warmed_up": "after its warm-up",
    "end": "at its end",
}


class Command(NamedTuple):
    """A study's command, and the seconds that its networks were trained; NaN if not noted."""

    study: str
    command: str
    seconds: float


class Tried(NamedTuple):
    """A comparison under another setting than a study's own, and what is set otherwise in it."""

    changes: str
    comparison: Comparison


class Study:
    """What was found for one network and one way of rewinding."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = (folder / kind / "config.json" for kind in KINDS)
        self.config = _config(next(path.parent for path in paths if path.exists()))

    def has(self, kind: str) -> bool:
        """Whether there is a comparison ("compare"), an Oracle or a premise."""
        return (self.folder / kind).is_dir()

    @property
    def title(self) -> str:
        model = self.config["model"]["name"].partition(":")[2] or self.config["model"]["name"]
        parts = (
            DATA_SETS[self.config["data"]["name"]],
            NETWORKS.get(model, model),
            REWOUND[self.config["rewind"]["policy"]],
            f"{self.config['pruning']['num_cycles']} cycles",
        )
        return ", ".join(parts)

    @property
    def protocol(self) -> tuple[int, float, int, float]:
        """Cycles, epochs a cycle, seeds, and the density of the last cycle in per cent."""
        training, cycles = self.config["training"], self.config["pruning"]["num_cycles"]
        density = 100 * (1 - self.config["pruning"]["fraction"]) ** (cycles - 1)
        return cycles, training["epochs_per_cycle"], len(self.config["seeds"]), density

    @cached_property
    def comparison(self) -> Comparison:
        return read_comparison(self.folder / "compare")

    @property
    def choosing(self) -> str:
        """Which of the seeds chose max_lr."""
        few, seeds = len(self.comparison.tuning_seeds), len(self.comparison.seeds)
        return "all seeds" if few == seeds else f"the first {few} of {seeds} seeds"

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the comparison."""
        return notes(self.comparison)

    @property
    def tried(self) -> list[Tried]:
        """Further comparisons."""
        folders = [path for path in self._folders if path.name not in KINDS]
        return [Tried(self._changes(path), read_comparison(path)) for path in folders]

    def _changes(self, folder: Path) -> str:
        """The fields that differ from those of the study's comparison."""
        own, other = (_fields(_config(path)) for path in (self.folder / "compare", folder))
        return ", ".join(f"{k}={v}" for k, v in other.items() if v != own.get(k))

    def scores(self, way: str) -> Scores:
        """With each schedule's max_lr chosen in a way: "tuned" or in "hindsight"."""
        return scores(self.comparison, way)

    def contest(self, way: str) -> Contest:
        """SILO against its best rival."""
        found = contest(self.scores(way), self.comparison.reference, self.comparison.apart)
        assert found, f"{self.folder}: no rival has every cycle"
        return found

    def accuracy(self, way: str) -> str:
        """SILO's mean test accuracy over the pruned cycles, ± a standard deviation over seeds."""
        return pruned_accuracy(self.scores(way), self.comparison.reference)

    def ahead_of(self, schedule: str, way: str) -> Paired:
        """SILO minus a schedule."""
        return overall_difference(self.scores(way), self.comparison.reference, schedule)

    @cached_property
    def oracle(self) -> OracleSearch:
        return read_oracle(self.folder / "oracle")

    @property
    def inside(self) -> tuple[Share, Share, float]:
        """The intervals that SILO's max_lr meets, and the best constant; their median width."""
        silo, low, high = silo_and_intervals(self.oracle)
        constant = best_constant(low, high)
        assert constant, f"{self.folder}: no interval"
        return share_inside(silo, low, high), constant.share, median_width(low, high)

    @property
    def behind_oracle(self) -> Paired:
        """SILO minus the Oracle."""
        return accuracy_differences(self.oracle)[1]

    @property
    def times_the_steps(self) -> tuple[float, float]:
        """Steps of the Oracle over those of SILO; and with SILO's, those of `tune`."""
        oracle, own = cost(self.oracle.grid).steps, cost(self.oracle.silo).steps
        tuned = 0.0
        if self.has("tune"):
            tuned = sum(float(row["steps"]) for row in _rows(self.folder / "tune/grid.csv"))
        return oracle / own, oracle / (own + tuned)

    @property
    def bounds_at_edge(self) -> bool:
        """Whether a bound that `tune` found is the smallest or largest value that it tried."""
        tried = defaultdict(set)
        if not self.has("tune"):
            return False
        for row in _rows(self.folder / "tune/grid.csv"):
            tried[row["cycle"]].add(float(row["max_lr"]))
        return any(
            not min(tried[row["cycle"]]) < float(row["max_lr"]) < max(tried[row["cycle"]])
            for row in _rows(self.folder / "tune/choices.csv")
        )

    @cached_property
    def widths(self) -> dict[tuple[str, str], np.ndarray]:
        """By quantity and moment, (seeds, cycles): the first cycle's width over each one's."""
        found: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
        for row in _rows(self.folder / "premise/widths.csv"):
            if row["layer"] == "network":
                key = row["quantity"], row["moment"], row["seed"]
                found[key][int(row["cycle"])] = float(row["std"])
        factors = defaultdict(list)
        for (quantity, moment, _), by_cycle in found.items():
            widths = np.array([by_cycle[cycle] for cycle in sorted(by_cycle)])
            factors[quantity, moment].append(widths[0] / widths)
        return {key: np.array(value) for key, value in factors.items()}

    def narrowing(self, quantity: str, moment: str) -> np.ndarray:
        """How many times narrower each cycle's width is than the first one's, the mean of seeds."""
        return self.widths[quantity, moment].mean(axis=0)

    @property
    def densities(self) -> np.ndarray:
        """Of the cycles of the premise, the mean over seeds."""
        by_cycle = defaultdict(list)
        for row in _rows(self.folder / "premise/cycles.csv"):
            by_cycle[int(row["cycle"])].append(float(row["density"]))
        return np.array([mean(by_cycle[cycle]) for cycle in sorted(by_cycle)])

    @property
    def commands(self) -> list[Command]:
        """How each part was made."""
        return [_command(path) for path in self._folders]

    @property
    def _folders(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_dir())


def all_studies() -> list[Study]:
    """Of the digits first, then by name."""
    folders = sorted(path for path in FOLDER.iterdir() if path.is_dir())
    return [Study(folder) for folder in sorted(folders, key=lambda path: path.name != "digits")]


def pruned_accuracy(found: Scores, option: str) -> str:
    """Mean test accuracy over the pruned cycles, ± a standard deviation over seeds."""
    test = over_pruned(found.test)[found.options.index(option)]
    stats = over_present(test)
    few = "" if stats.seeds == len(test) else f" ({stats.seeds} of {len(test)} seeds)"
    return f"{format_spread(float(stats.mean), float(stats.std))} %{few}"


def beside_renda(study: Study) -> list[tuple[float, list[str], float | None]]:
    """By density in per cent: accuracy of each schedule, and Renda et al.'s if it is there."""
    found = study.scores("tuned")
    rows = []
    for cycle, density in enumerate(found.density):
        stats = over_present(found.test[:, cycle])
        reached = [format_spread(*pair) for pair in zip(stats.mean, stats.std, strict=True)]
        published = [value for at, value in RENDA.items() if abs(at / density - 1) < 0.01]
        rows.append((100 * density, reached, published[0] if published else None))
    return rows


def total(shares: Iterable[Share]) -> Share:
    """All together."""
    shares = list(shares)
    return Share(sum(share.inside for share in shares), sum(share.cycles for share in shares))


def _command(folder: Path) -> Command:
    command = json.loads((folder / "environment.json").read_text())["command"]
    command = re.sub(r" --(cells|wait)=\S+", "", command)  # of the last of several shares
    tables = [folder / name for name in ("cells.csv", "grid.csv", "silo.csv")]
    if tables[0].exists():
        tables = tables[:1]
    rows = [row for table in tables if table.exists() for row in _rows(table)]
    seconds = sum(float(row["seconds"]) for row in rows if row["seconds"])
    return Command(folder.name, command, seconds or float("nan"))


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def _fields(config: dict[str, Any]) -> dict[str, Any]:
    """All fields by their full names, "schedule.lower"."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        below = _fields(value) if isinstance(value, dict) else {}
        found |= {f"{name}.{k}": v for k, v in below.items()} or {name: value}
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
