"""The Oracle: max_lr by grid search, a cycle at a time.

At each cycle every max_lr is tried from the same masks and the same rewind point, with every seed.
That of the highest mean validation accuracy wins, and the next cycle starts from its networks.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np

from silo_jax.studies.candidates import cell_name, check_study
from silo_jax.studies.interval import Interval, oracle_interval
from silo_jax.studies.ranking import Scored, best_of
from silo_jax.training.cells import Cell, Outcome, Work, cell_files, read_cell
from silo_jax.training.config import rewind_policies
from silo_jax.training.experiment import Experiment
from silo_jax.training.launch import Launcher

# The peaks are data; this is what a schedule's program depends on.
PROGRAM = {"schedule.name": "constant", "schedule.peaks": ()}


class Grid(NamedTuple):
    """The values of max_lr that are tried in each cycle.

    Attributes:
      max_lrs: ascending, above 0; the first ones.
      scale: "log" or "linear", on which values are added between two others.
      refinements: how often two values are added beside the best one: half-way to its neighbours,
        or as far beyond it as its neighbour is where it is the largest or smallest so far.
    """

    max_lrs: tuple[float, ...]
    scale: str = "log"
    refinements: int = 1

    @property
    def most_values(self) -> int:
        """How many are tried in a cycle, at most."""
        return len(self.max_lrs) + 2 * self.refinements

    def beside(self, tried: Sequence[float], best: float) -> tuple[float, ...]:
        """The values to add around the best of those tried so far."""
        if len(tried) < 2:
            return ()
        to, back = (math.log, math.exp) if self.scale == "log" else (float, float)
        points, at = [to(value) for value in sorted(tried)], sorted(tried).index(best)
        steps = [points[at] - points[at - 1]] if at else []
        steps += [points[at + 1] - points[at]] if at + 1 < len(points) else []
        down = points[at] - (steps[0] / 2 if at else steps[-1])
        up = points[at] + (steps[-1] / 2 if at + 1 < len(points) else steps[0])
        return tuple(value for value in (back(down), back(up)) if value > 0)


def make_grid(
    lower: float, upper: float, num_values: int = 7, scale: str = "log", refinements: int = 1
) -> Grid:
    """Equally spaced values from a quarter of the smaller bound to twice the larger one.

    Args:
      lower: SILO's max_lr of the dense network, above 0.
      upper: that at full sparsity, above 0.
      num_values: at least 2.
      scale: "log" or "linear".
      refinements: see `Grid`.

    Example:
      >>> [round(value, 4) for value in make_grid(0.1, 0.2, num_values=5).max_lrs]
      [0.025, 0.05, 0.1, 0.2, 0.4]
    """
    ends = min(lower, upper) / 4, max(lower, upper) * 2
    space = np.geomspace if scale == "log" else np.linspace
    return Grid(tuple(float(value) for value in space(*ends, num_values)), scale, refinements)


class Tried(NamedTuple):
    """One max_lr in one cycle: by seed, the row of the cycle and what else the cell has told."""

    max_lr: float
    outcomes: Mapping[int, Outcome]
    cycle: int

    def values(self, name: str) -> list[float]:
        """A quantity of the cycle, by seed; NaN where it diverged."""
        rows = [one.cycles.get(self.cycle, {}) for one in self.outcomes.values()]
        return [float(row.get(name, math.nan)) for row in rows]

    def mean(self, name: str) -> float:
        """Its mean over the seeds; NaN where one has diverged."""
        return fmean(self.values(name))

    @property
    def scored(self) -> Scored:
        """How good it is."""
        return Scored(self.max_lr, self.mean("val_accuracy"), self.mean("val_loss"))


class Choice(NamedTuple):
    """What the Oracle has found in one cycle.

    Attributes:
      cycle: from 0.
      tried: every max_lr, ascending.
    """

    cycle: int
    tried: tuple[Tried, ...]

    @property
    def best(self) -> Tried | None:
        """See `best_of`; None if every max_lr has diverged with some seed."""
        best, _ = best_of(one.scored for one in self.tried)
        return next((one for one in self.tried if best and one.max_lr == best.max_lr), None)

    @property
    def tied(self) -> list[float]:
        """The other values of the same mean validation accuracy."""
        return [one.max_lr for one in best_of(one.scored for one in self.tried)[1]]

    @property
    def standard_error(self) -> float:
        """Of the best one's mean validation accuracy over the seeds; NaN for a single seed."""
        values = self.best.values("val_accuracy") if self.best is not None else []
        return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan

    def interval(self, tolerance: float) -> Interval | None:
        """The Oracle interval, by the means over the seeds; None where there is none."""
        if self.best is None:
            return None
        max_lrs = [one.max_lr for one in self.tried]
        accuracies = [one.mean("val_accuracy") for one in self.tried]
        return oracle_interval(max_lrs, accuracies, self.best.max_lr, tolerance)


def check_oracle(experiment: Experiment, grid: Grid) -> None:
    """Refuses a search in which max_lr has no effect, and values that cannot be tried.

    Raises:
      ValueError: one line.
    """
    if "finetune" in rewind_policies(experiment.config):
        raise ValueError(
            f"rewind.policy: {experiment.config.rewind.policy!r}; allowed: others than 'finetune', "
            "which goes on at the last learning rate whatever max_lr is"
        )
    if len(grid.max_lrs) < 2 or not all(0 < value < math.inf for value in grid.max_lrs):
        raise ValueError(f"max_lrs: {grid.max_lrs}; allowed: two numbers or more, above 0")
    if not np.all(np.diff(grid.max_lrs) > 0):
        raise ValueError(f"max_lrs: {grid.max_lrs}; allowed: ascending numbers")
    check_study(experiment, grid.max_lrs)


def search(
    launcher: Launcher, grid: Grid, meanwhile: Callable[[Choice], None] = lambda _: None
) -> Iterator[Choice]:
    """Yields what is best in each cycle, and goes on from there.

    It ends before its time at a cycle in which every max_lr has diverged.

    Args:
      launcher: with the experiment and the directory.
      grid: the values to try.
      meanwhile: called now and then with what a cycle that is still searched has so far.

    Raises:
      UnfinishedError: other shares have not run their cells yet.
      Stopped: it was asked to stop; what was computed is kept.
      OSError: a file cannot be read or written; one line.
    """
    path: tuple[float, ...] = ()
    origin: dict[int, str] = {}
    after: dict[int, str] = {}
    while len(path) < launcher.experiment.num_cycles:
        choice, works = _search_cycle(launcher, grid, path, after, origin, meanwhile)
        yield choice
        if choice.best is None:
            return
        path += (choice.best.max_lr,)
        after = _drop_others(launcher, works, choice.best.max_lr)
        origin = origin or after


def _search_cycle(
    launcher: Launcher,
    grid: Grid,
    path: tuple[float, ...],
    after: Mapping[int, str],
    origin: Mapping[int, str],
    meanwhile: Callable[[Choice], None],
) -> tuple[Choice, list[Work]]:
    """Tries the grid in the cycle that follows the path, then what lies beside the best."""
    cycle, works = len(path), []
    choice, to_try = Choice(cycle, ()), grid.max_lrs
    for stage in range(grid.refinements + 1):
        cells = tuple(
            _cell(launcher.experiment, path, value, seed, after.get(seed, ""), origin.get(seed, ""))
            for value in to_try
            for seed in launcher.experiment.config.seeds
        )
        work = Work(f"cycle_{cycle:02d}/stage_{stage}", cells, PROGRAM, keep_end=True)
        so_far = partial(_with, launcher, work, choice)
        launcher.run([work], meanwhile=partial(_tell, meanwhile, so_far))
        works.append(work)
        choice = so_far()
        if choice.best is None:
            break
        to_try = grid.beside([one.max_lr for one in choice.tried], choice.best.max_lr)
    return choice, works


def _tell(meanwhile: Callable[[Choice], None], so_far: Callable[[], Choice]) -> None:
    meanwhile(so_far())


def _with(launcher: Launcher, work: Work, choice: Choice) -> Choice:
    """What was tried in a cycle before, and by a work."""
    found = (*choice.tried, *_read(launcher, work, choice.cycle))
    return Choice(choice.cycle, tuple(sorted(found, key=lambda one: one.max_lr)))


def _cell(
    experiment: Experiment,
    path: tuple[float, ...],
    max_lr: float,
    seed: int,
    after: str,
    origin: str,
) -> Cell:
    cycle = len(path)
    peaks = (*path, *(max_lr for _ in range(experiment.num_cycles - cycle)))
    return Cell(cell_name(max_lr, seed), seed, peaks, cycle, cycle + 1, after, origin)


def _read(launcher: Launcher, work: Work, cycle: int) -> list[Tried]:
    by_max_lr: dict[float, dict[int, Outcome]] = {}
    for cell in work.cells:
        outcome = read_cell(launcher.directory, work, cell, launcher.experiment)
        by_max_lr.setdefault(cell.peaks[cycle], {})[cell.seed] = outcome
    return [Tried(max_lr, found, cycle) for max_lr, found in by_max_lr.items()]


def _drop_others(launcher: Launcher, works: Sequence[Work], best: float) -> dict[int, str]:
    """Keeps the states of the best max_lr alone, and tells by seed in which directory they are."""
    kept = {}
    for work in works:
        for cell in work.cells:
            if cell.peaks[cell.first_cycle] == best:
                kept[cell.seed] = f"{work.name}/{cell.name}"
            else:
                cell_files(launcher.directory, work, cell).drop_state()
    return kept
