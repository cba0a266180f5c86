"""The studies, as they lie in benchmarks/results/studies."""

import csv
import json
import re
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from silo_jax.reporting.comparison import Comparison, read_comparison
from silo_jax.reporting.oracle import OracleSearch, read_oracle

FOLDER = Path(__file__).parents[2] / "benchmarks/results/studies"
KINDS = ("compare", "oracle", "premise", "premise_held", "tune")
DATA_SETS = {"digits": "digits", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
NETWORKS = {
    "mlp": "MLP",
    "lenet_300_100": "LeNet-300-100",
    "StridedConv": "small convolutional network",
    "resnet20": "ResNet-20",
}
_PAUSE = 5  # times the median
REWOUND = {"weights": "weights rewound", "lr": "LR rewound"}


class Command(NamedTuple):
    """A part's command, what it ran on, and the seconds that its networks were trained.

    What a cycle took beyond five times the median is left out, as a pause of the machine; NaN if
    not noted.
    """

    part: str
    command: str
    device: str
    seconds: float


class Tried(NamedTuple):
    """A comparison under other settings than a study's own: the fields that differ, and what it
    found."""

    changes: dict[str, Any]
    comparison: Comparison


class Study:
    """What was found for one network and one way of rewinding."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = (folder / kind / "config.json" for kind in KINDS)
        self.config = _config(next(path.parent for path in paths if path.exists()))

    def has(self, kind: str) -> bool:
        """Whether there is a part, one of KINDS."""
        return (self.folder / kind).is_dir()

    @property
    def title(self) -> str:
        model = self.config["model"]["name"].partition(":")[2] or self.config["model"]["name"]
        policy = self.config["rewind"]["policy"]
        parts = (
            DATA_SETS[self.config["data"]["name"]],
            NETWORKS.get(model, model),
            REWOUND.get(policy, policy),
        )
        return ", ".join(parts)

    @property
    def rewinds_weights(self) -> bool:
        """Whether every cycle starts from weights as the first one did."""
        return self.config["rewind"]["policy"] in ("weights", "reinit")

    @property
    def protocol(self) -> tuple[int, float, int, float]:
        """Cycles, epochs a cycle, seeds, and the density of the last cycle in per cent."""
        training, cycles = self.config["training"], self.config["pruning"]["num_cycles"]
        density = 100 * (1 - self.config["pruning"]["fraction"]) ** (cycles - 1)
        return cycles, training["epochs_per_cycle"], len(self.config["seeds"]), density

    @property
    def rise(self) -> float:
        """SILO's upper bound of max_lr over its lower one."""
        return self.config["schedule"]["upper"] / self.config["schedule"]["lower"]

    @property
    def warms_up_before_drops(self) -> bool:
        """Whether the learning rate reaches max_lr before it drops."""
        schedule = self.config["schedule"]
        return bool(schedule["warmup_epochs"] <= min(schedule["drop_epochs"]))

    @property
    def is_of_cifar10(self) -> bool:
        return self.config["data"]["name"] == "cifar10"

    @cached_property
    def comparison(self) -> Comparison:
        return read_comparison(self.folder / "compare")

    @cached_property
    def oracle(self) -> OracleSearch:
        return read_oracle(self.folder / "oracle")

    @property
    def tried(self) -> list[Tried]:
        """Further comparisons."""
        folders = [path for path in self._folders if path.name not in KINDS]
        return [Tried(self._changes(path), read_comparison(path)) for path in folders]

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of one of the study's tables, "tune/grid.csv"."""
        return _rows(self.folder / name)

    @property
    def commands(self) -> list[Command]:
        """How each part was made."""
        return [_command(path) for path in self._folders]

    def _changes(self, folder: Path) -> dict[str, Any]:
        own, other = (_fields(_config(path)) for path in (self.folder / "compare", folder))
        return {name: value for name, value in other.items() if value != own.get(name)}

    @property
    def _folders(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_dir())


def all_studies() -> list[Study]:
    """Of the digits first, then by name."""
    folders = sorted(path for path in FOLDER.iterdir() if path.is_dir())
    return [Study(folder) for folder in sorted(folders, key=lambda path: path.name != "digits")]


def number_of(things: int) -> str:
    """ "1 study" or "2 studies"."""
    return "1 study" if things == 1 else f"{things} studies"


def label(holds: int, fails: int, number: int) -> str:
    """Whether a claim holds, in so many of a number of things, and is ruled out in so many."""
    if holds == number:
        return "Holds here"
    if holds:
        return f"Holds in {holds} of {number_of(number)}"
    return "Does not hold here" if fails == number else "Not shown"


def _command(folder: Path) -> Command:
    environment = _environment(folder)
    command = re.sub(r" --(cells|wait)=\S+", "", environment["command"])  # of one of the shares
    device = f"{environment['device']} with {environment['host cores']} host cores"
    has_cells = (folder / "cells.csv").exists()
    names = ["cells.csv"] if has_cells else ["grid.csv", "silo.csv", "run/cycles.csv"]
    rows = [row for name in names if (folder / name).exists() for row in _rows(folder / name)]
    seconds = [float(row["seconds"]) for row in rows if row["seconds"]] or [float("nan")]
    most = _PAUSE * median(seconds)
    return Command(folder.name, command, device, sum(min(one, most) for one in seconds))


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def _environment(folder: Path) -> dict[str, str]:
    return json.loads((folder / "environment.json").read_text())


def _fields(config: dict[str, Any]) -> dict[str, Any]:
    """All fields by their full names, "schedule.lower"."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        below = _fields(value) if isinstance(value, dict) else {}
        found |= {f"{name}.{k}": v for k, v in below.items()} or {name: value}
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
