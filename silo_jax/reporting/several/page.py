"""The page of several runs side by side."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from silo_jax.reporting import summary
from silo_jax.reporting.aggregate import count, format_percent, format_spread
from silo_jax.reporting.lines import line_numbers
from silo_jax.reporting.page import Picture, Section, write_page
from silo_jax.reporting.several import figures, tables
from silo_jax.reporting.several.runs import (
    SPLITS,
    Runs,
    accuracy_lines,
    densities,
    max_lr_lines,
    read_runs,
    test_accuracy,
)
from silo_jax.reporting.style import render_png


def write_runs_report(workdirs: Sequence[str | PathLike[str]], out: str | PathLike[str]) -> Path:
    """Writes figures/*.png, figures/*.csv and report.html of several runs side by side.

    Args:
        workdirs: Folders of runs, see `silo_jax.reporting.read_run`; also of runs that are going
            on. Their densities may differ.
        out: Folder of the report, which holds no results itself.

    Returns:
        The path of report.html, a page that needs no other file.

    Raises:
        ValueError: If a folder holds no run or is malformed, or no run has results yet.
    """
    folder = Path(out)
    if any((folder / name).exists() for name in ("config.json", "study.json")):
        raise ValueError(f"--out: {folder} holds results; allowed: another directory")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out: {folder}; allowed: a directory")
    runs = read_runs(workdirs)
    return write_page(
        folder,
        title=f"{count(len(runs.by_name), 'run')} side by side",
        headline=headline(runs),
        notes=notes(runs),
        sections=_sections(runs),
        facts={},
        config=tables.shared_config(runs),
        config_title="Config fields that they share",
    )


def headline(runs: Runs) -> str:
    """States test accuracy at the smallest density that all runs have."""
    shared = [one for one in densities(runs) if len(one.cycles) == len(runs.by_name)]
    if not shared:
        return "The runs have no density in common."
    last = shared[-1]
    told = []
    for name, run in runs.by_name.items():
        found = test_accuracy(run)
        (place,) = np.flatnonzero(found.keys == last.cycles[name])
        told.append(f"{name} {format_spread(found.mean[place], found.std[place])} %")
    return (
        f"Mean test accuracy at the smallest density that all have, "
        f"{format_percent(last.mean)} %: {', '.join(told)}."
    )


def notes(runs: Runs) -> list[str]:
    """Lists what a reader should know of each run before trusting the numbers."""
    found = [f"{name}: no cycle is finished yet, so it is left out." for name in runs.waiting]
    for name, run in runs.by_name.items():
        found += [f"{name}: {note}" for note in summary.notes(run)]
    return found


def _sections(runs: Runs) -> list[Section]:
    spread = "± one sample standard deviation over a run's seeds"
    accuracy = line_numbers(
        [line for split in SPLITS for line in accuracy_lines(runs, split)],
        name="run",
        x="density",
        y="accuracy",
    )
    max_lr = line_numbers(max_lr_lines(runs), name="run", x="cycle", y="max_lr")
    differing = tables.config_table(runs)
    return [
        Section(
            "Test accuracy",
            f"Mean test accuracy in per cent {spread}, at the end of each cycle; the best of a row "
            "is bold. Densities that are less than 1 % apart share a row.",
            table=tables.accuracy_table(runs),
        ),
        Section(
            "Accuracy by density",
            f"Mean accuracy at the end of each cycle, densest on the left; bars are {spread}.",
            [
                Picture(
                    "accuracy_by_density", render_png(figures.accuracy_by_density, runs), accuracy
                )
            ],
            interactive=figures.interactive_accuracy(runs),
        ),
        Section(
            "max_lr by cycle",
            "max_lr of each cycle, the mean over a run's seeds.",
            [Picture("max_lr_by_cycle", render_png(figures.max_lr_by_cycle, runs), max_lr)],
            interactive=figures.interactive_max_lr(runs),
        ),
        Section(
            "Config fields in which they differ",
            "" if differing.rows else "They have the same config.",
            table=differing if differing.rows else None,
        ),
        Section("What was run", table=tables.facts_table(runs)),
    ]
