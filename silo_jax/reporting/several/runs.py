"""Several runs, read and named, and the numbers that are set side by side."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from silo_jax.reporting.aggregate import OverSeeds, over_seeds
from silo_jax.reporting.lines import Line, mean_line
from silo_jax.reporting.report import kind_of
from silo_jax.reporting.results import RunResults, has_results, read_run

_SAME = 0.99  # densities of different runs that are less apart stand in one row

SPLITS = {"test": "test_accuracy", "validation": "val_accuracy"}


class Runs(NamedTuple):
    """Runs side by side.

    Attributes:
        by_name: Those that have finished a cycle.
        waiting: Names of the others.
    """

    by_name: dict[str, RunResults]
    waiting: list[str]


class Density(NamedTuple):
    """A density that some runs have.

    Attributes:
        mean: Over these runs.
        cycles: In which cycle each of them has it, by name.
    """

    mean: float
    cycles: dict[str, int]


def read_runs(workdirs: Sequence[str | PathLike[str]]) -> Runs:
    """Reads several runs.

    Args:
        workdirs: Their folders, see `read_run`; also of runs that are going on.

    Raises:
        ValueError: If one holds no run, is named twice or is malformed, or none has results yet.
    """
    folders = [Path(workdir) for workdir in workdirs]
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        kind = kind_of(folder)
        if kind != "run":
            raise ValueError(f"{folder}: holds a study ({kind}); allowed: runs, if several")
        if places.count(place) > 1:
            raise ValueError(f"{folder}: given twice; allowed: once")
    named = dict(zip(names_of(places), folders, strict=True))
    done = {name: read_run(folder) for name, folder in named.items() if has_results(folder)}
    if not done:
        raise ValueError(f"{folders[0]}: no results yet, as no run has finished a cycle")
    return Runs(done, [name for name in named if name not in done])


def names_of(places: Sequence[Path]) -> list[str]:
    """Names folders by their last parts, as few as tell them apart.

    Example:
        >>> names_of([Path("/runs/a/silo"), Path("/runs/b/silo")])
        ['a/silo', 'b/silo']
    """
    longest = max(len(place.parts) for place in places)
    for number in range(1, longest + 1):
        names = ["/".join(place.parts[-number:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def accuracy_lines(runs: Runs, split: str) -> list[Line]:
    """Accuracy by density of each run, with the standard deviation over its seeds."""
    found = []
    for name, run in runs.by_name.items():
        cycle = run.cycles["cycle"]
        density = over_seeds(cycle, run.cycles["density"]).mean
        stats = over_seeds(cycle, run.cycles[SPLITS[split]])
        found.append(mean_line(name, density, stats, split=split, cycle=stats.keys))
    return found


def max_lr_lines(runs: Runs) -> list[Line]:
    """max_lr by cycle of each run, the mean over its seeds."""
    found = []
    for name, run in runs.by_name.items():
        stats = over_seeds(run.cycles["cycle"], run.cycles["max_lr"])
        found.append(Line(name, stats.keys, stats.mean, told={"seeds": stats.seeds}))
    return found


def densities(runs: Runs) -> list[Density]:
    """The densities of all runs, densest first; those that are nearly the same are one."""
    points = []
    for name, run in runs.by_name.items():
        stats = over_seeds(run.cycles["cycle"], run.cycles["density"])
        pairs = zip(stats.mean.tolist(), stats.keys.tolist(), strict=True)
        points += [(density, name, cycle) for density, cycle in pairs]
    groups: list[list[tuple[float, str, int]]] = []
    for point in sorted(points, key=lambda point: -point[0]):
        is_near = groups and point[0] >= _SAME * groups[-1][0][0]
        if is_near and point[1] not in (name for _, name, _ in groups[-1]):
            groups[-1].append(point)
        else:
            groups.append([point])
    return [
        Density(
            float(np.mean([density for density, *_ in group])),
            {name: cycle for _, name, cycle in group},
        )
        for group in groups
    ]


def test_accuracy(run: RunResults) -> OverSeeds:
    """Test accuracy by cycle over the seeds."""
    return over_seeds(run.cycles["cycle"], run.cycles["test_accuracy"])
