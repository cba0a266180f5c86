"""Options of an experiment under one protocol, seed by seed, and what they reach.

What stands for a schedule is chosen on validation accuracy alone: by that of the dense network, as
someone would who tunes once and then prunes ("tuned"); and, in hindsight, by that over all cycles,
which no one can know beforehand, but which makes the strongest rival of a fixed max_lr.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean

from silo_jax.files import write_csv
from silo_jax.studies.candidates import Candidate, Comparison, cell_name
from silo_jax.studies.ranking import Scored, best_of
from silo_jax.training.cells import Cell, Outcome, Row, Work, cell_files, cycle_rows, read_cell
from silo_jax.training.experiment import Experiment
from silo_jax.training.launch import Launcher

CELL_COLUMNS = (
    *("option", "max_lr", "seed", "cycle", "density", "cycle_max_lr", "train_loss", "val_loss"),
    *("val_accuracy", "test_accuracy", "steps", "seconds", "diverged"),
)
CHOSEN_COLUMNS = ("way", "option", "max_lr", "val_accuracy", "at_edge")


def check_comparison(experiment: Experiment, comparison: Comparison) -> None:
    """Refuses candidates whose config is not allowed, before anything is trained."""
    for candidate in comparison.candidates:
        experiment.with_fields(candidate.fields)


def run_comparison(launcher: Launcher, comparison: Comparison) -> bool:
    """Runs all cells that are not finished, and writes cells.csv and chosen.csv now and then.

    So these tell at any time, also of a comparison that has grown, what there is so far.

    Args:
      launcher: with the experiment and the directory.
      comparison: from `compare_schedules` or `compare_values`.

    Returns:
      Whether any option was trained through a cycle with every seed; if not, all have diverged.

    Raises:
      UnfinishedError: other shares have not run their cells yet.
      Stopped: it was asked to stop; what was computed is kept.
      OSError: a file cannot be read or written; one line.
    """
    experiment, candidates = launcher.experiment, comparison.candidates
    _write(launcher, comparison)
    seeds = experiment.config.seeds
    if comparison.tunes_first(len(seeds)):
        candidates = _tune(launcher, comparison)
        if comparison.hindsight:
            seeds = tuple(seed for seed in seeds if seed not in comparison.tuning_seeds)
    works = _works(experiment, candidates, seeds, end_cycle=experiment.num_cycles)
    launcher.run(works, meanwhile=partial(_write, launcher, comparison))
    return _write(launcher, comparison)


Found = Mapping[tuple[str, float], Mapping[int, Outcome]]  # by option and max_lr, then by seed


def _tune(launcher: Launcher, comparison: Comparison) -> tuple[Candidate, ...]:
    """Trains every candidate with the seeds that choose, and keeps those chosen in any way."""
    experiment, candidates = launcher.experiment, comparison.candidates
    seeds, end = comparison.tuning_seeds, experiment.num_cycles if comparison.hindsight else 1
    works = _works(experiment, candidates, seeds, end_cycle=end, keep_end=not comparison.hindsight)
    launcher.run(works, meanwhile=partial(_write, launcher, comparison))
    choices = _choices(comparison, _found(launcher, comparison), experiment.num_cycles)
    keys = {(choice["option"], choice.get("max_lr")) for choice in choices}
    chosen = tuple(c for c in candidates if (c.option, c.max_lr) in keys)
    others = [c for c in candidates if c not in chosen]
    for work in _works(experiment, others, seeds, end_cycle=end):
        for cell in work.cells:
            cell_files(launcher.directory, work, cell).drop_state()
    return chosen


def _works(
    experiment: Experiment,
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    *,
    end_cycle: int,
    keep_end: bool = False,
) -> list[Work]:
    """A work for each option, as all its cells have one program."""
    works: dict[str, Work] = {}
    for candidate in candidates:
        work = works.get(candidate.option)
        cells = () if work is None else work.cells
        cells += _cells(experiment, candidate, seeds, end_cycle)
        works[candidate.option] = Work(candidate.option, cells, candidate.program, keep_end)
    return list(works.values())


def _cells(
    experiment: Experiment, candidate: Candidate, seeds: Sequence[int], end_cycle: int
) -> tuple[Cell, ...]:
    """The cells of a candidate, one a seed."""
    peaks = tuple(experiment.with_fields(candidate.fields).peaks)
    return tuple(
        Cell(cell_name(candidate.max_lr, seed), seed, peaks, 0, end_cycle) for seed in seeds
    )


def _found(launcher: Launcher, comparison: Comparison) -> Found:
    """What every cell has reached, those included that are not to be run any further."""
    experiment, found = launcher.experiment, {}
    seeds = experiment.config.seeds
    for candidate in comparison.candidates:
        (work,) = _works(experiment, [candidate], seeds, end_cycle=experiment.num_cycles)
        reached = {
            cell.seed: read_cell(launcher.directory, work, cell, experiment) for cell in work.cells
        }
        found[candidate.option, candidate.max_lr] = reached
    return found


def _best(found: Found, option: str, seeds: Sequence[int], *, cycles: int) -> Scored | None:
    """The max_lr of highest mean validation accuracy, over seeds and the first so many cycles.

    None if none was trained so far with every one of these seeds.
    """
    scored = []
    for (name, max_lr), by_seed in found.items():
        tuned = [by_seed[seed] for seed in seeds]
        rows = [row for one in tuned for m, row in one.cycles.items() if m < cycles]
        if name == option and len(rows) == cycles * len(seeds):
            means = (
                fmean(row[f"val_{quantity}"] for row in rows) for quantity in ("accuracy", "loss")
            )
            scored.append(Scored(max_lr, *means))
    return best_of(scored)[0]


def _choices(comparison: Comparison, found: Found, num_cycles: int) -> list[Row]:
    ways = {"tuned": 1} | ({"hindsight": num_cycles} if comparison.hindsight else {})
    grid, rows = comparison.max_lrs, []
    for way, cycles in ways.items():
        for option in comparison.options:
            best = _best(found, option, comparison.tuning_seeds, cycles=cycles)
            row: Row = {"way": way, "option": option}
            if best is not None:
                at_edge = len(grid) > 1 and best.max_lr in (grid[0], grid[-1])
                row |= {**best._asdict(), "at_edge": int(at_edge)}
            rows.append(row)
    return rows


def _write(launcher: Launcher, comparison: Comparison) -> bool:
    found = _found(launcher, comparison)
    steps = launcher.experiment.lengths.steps_per_cycle
    rows = [
        row | {"option": option, "max_lr": max_lr, "seed": seed}
        for (option, max_lr), by_seed in found.items()
        for seed, outcome in by_seed.items()
        for row in cycle_rows(outcome, steps)
    ]
    choices = _choices(comparison, found, launcher.experiment.num_cycles)
    launcher.directory.mkdir(parents=True, exist_ok=True)
    write_csv(launcher.directory / "cells.csv", CELL_COLUMNS, rows)
    write_csv(launcher.directory / "chosen.csv", CHOSEN_COLUMNS, choices)
    return any("max_lr" in choice for choice in choices)
