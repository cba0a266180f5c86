"""Shows what the directory of a run or a study holds, and what is next.

    python -m experiments.inspect runs/quickstart

For a run: the layers of a cycle (shape, weights kept, density), the cycles, the checkpoints, and at
which epoch it goes on. It may be going on meanwhile, as nothing is written. For a study: which one
it is, and how many of its cells are done.

Exit status: 0, or 2 when no run or study is there, or a file is damaged.
"""

from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from silo_jax.cli.directory import parse_directory
from silo_jax.cli.flags import Flag, exit_on_bad_input
from silo_jax.cli.messages import output

_FLAGS = {
    "cycle": Flag(flags.DEFINE_integer, None, "N", "whose layers are shown [the last finished]"),
    "seed": Flag(flags.DEFINE_integer, None, "N", "whose layers are shown [the first]"),
    "verify": Flag(flags.DEFINE_bool, False, "", "compare all checkpoints with their checksums"),
}


def main(argv: list[str]) -> None:
    with exit_on_bad_input():
        directory, values = parse_directory(argv, _FLAGS)
        try:
            if (directory / "study.json").exists():
                _show_study(directory, output())
            else:
                _show_run(directory, values, output())
        except OSError as error:
            raise ValueError(str(error)) from error


def _show_study(directory: Path, console: Console) -> None:
    from silo_jax.reporting.inspection_study import study_line, study_lines, study_table

    _say(console, study_line(directory))
    if (directory / "cells").is_dir():
        console.print(study_table(directory))
    for line in study_lines(directory):
        _say(console, line)


def _show_run(directory: Path, values: dict[str, Any], console: Console) -> None:
    from silo_jax.reporting import has_results, read_run, results_table
    from silo_jax.reporting.inspection import (
        checkpoints_table,
        finished_cycles,
        inspect_run,
        layers_table,
        next_lines,
        written_shapes,
    )

    if not (directory / "config.json").exists():
        raise ValueError(f"DIR: {directory}; allowed: the directory of a run or a study")
    run = inspect_run(directory)
    seeds = run.config["seeds"]
    seed = seeds[0] if values["seed"] is None else values["seed"]
    if seed not in seeds:
        raise ValueError(f"--seed: {seed}; allowed: {', '.join(map(str, seeds))}")
    cycles = finished_cycles(run, seed)
    cycle = max(cycles, default=None) if values["cycle"] is None else values["cycle"]
    if cycle is not None and cycle not in cycles:
        raise ValueError(
            f"--cycle: {cycle}; allowed: {f'0 to {cycles[-1]}' if cycles else 'none yet'}, which "
            f"seed {seed} has finished"
        )
    if cycle is not None:
        shapes = written_shapes(directory)
        if shapes is None:
            shapes = _saved_shapes(directory, seed, run.states[seed])
        console.print(layers_table(run, seed, cycle, shapes))
    if has_results(directory):
        console.print(results_table(read_run(directory)))
    else:
        _say(console, f"no cycle of {run.num_cycles} is finished")
    console.print(checkpoints_table(run, verify=values["verify"]))
    for line in next_lines(run):
        _say(console, line)


def _saved_shapes(directory: Path, seed: int, steps: list[int]) -> dict[str, Any]:
    """As a checkpoint has them, for which jax and orbax are needed."""
    from silo_jax.saved_states import saved_shapes, state_path

    return saved_shapes(state_path(directory, seed, steps[-1])) if steps else {}


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)
