"""What the directory of a run holds, and what is next; a run may be going on meanwhile."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from silo_jax.checksums import find_damage
from silo_jax.reporting.aggregate import format_percent
from silo_jax.reporting.reading import (
    Columns,
    no_rows,
    read_config,
    read_csv,
    read_environment,
    read_jsonl,
    read_object,
)
from silo_jax.reporting.results import DIVERGED_KINDS, LAYER_KINDS

_EPOCHS = dict.fromkeys(("seed", "cycle", "epoch", "step"), int)


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        workdir: Folder of the run.
        config: Nested experiment config.
        layers: One row a cycle, seed and layer.
        epochs: Columns seed, cycle, epoch and step: one row for every epoch that is evaluated.
        given_up: Seeds that have diverged for good.
        states: Steps of the saved states by seed, ascending.
    """

    workdir: Path
    config: Mapping[str, Any]
    layers: Columns
    epochs: Columns
    given_up: frozenset[int]
    states: Mapping[int, list[int]]

    @property
    def num_cycles(self) -> int:
        """Cycles that the run was asked for, the dense one included."""
        return int(self.config["pruning"]["num_cycles"])

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps of the first epoch; None while it is not finished."""
        first = (self.epochs["cycle"] == 0) & (self.epochs["epoch"] == 1)
        return int(self.epochs["step"][first][0]) if first.any() else None

    @property
    def steps_per_cycle(self) -> int | None:
        """None while the first epoch is not finished, where the cycle's length is in epochs."""
        training, per_epoch = self.config["training"], self.steps_per_epoch
        if training["steps_per_cycle"]:
            return int(training["steps_per_cycle"])
        return per_epoch and per_epoch * int(training["epochs_per_cycle"])

    def position(self, step: int) -> tuple[int, int]:
        """The cycle, and the epoch counted from 1, in which the step after a global step lies."""
        if self.steps_per_cycle is None:
            return 0, 1
        cycle, in_cycle = divmod(step, self.steps_per_cycle)
        return cycle, 1 + in_cycle // (self.steps_per_epoch or self.steps_per_cycle)

    def reached(self, step: int) -> str:
        """What ends at a global step, or contains it."""
        cycle, epoch = self.position(step)
        if self.steps_per_cycle is None or self.steps_per_epoch is None:
            return f"cycle {cycle}, in epoch {epoch}"
        in_cycle = step % self.steps_per_cycle
        if in_cycle == 0:
            return f"cycle {cycle - 1}, its end"
        if in_cycle % self.steps_per_epoch == 0:
            return f"cycle {cycle}, epoch {epoch - 1}"
        return f"cycle {cycle}, in epoch {epoch}"

    def is_finished(self, seed: int) -> bool:
        """Whether a seed has all its cycles, or was given up."""
        per_cycle, states = self.steps_per_cycle, self.states[seed]
        has_all = per_cycle is not None and self.num_cycles * per_cycle in states
        return has_all or seed in self.given_up


def inspect_run(workdir: Path) -> Inspection:
    """Reads what is there; nothing is written.

    Raises:
        ValueError: If no run is there, or a file is malformed; one line that names it.
    """
    config = read_config(workdir / "config.json")
    diverged = _read(workdir / "diverged.csv", DIVERGED_KINDS, ("seed", "cycle", "step", "max_lr"))
    ended = np.isnan(diverged["next_max_lr"]) if diverged["seed"].size else np.array([], bool)
    return Inspection(
        workdir=workdir,
        config=config,
        layers=_read(workdir / "layers.csv", LAYER_KINDS, ("cycle", "seed", "layer")),
        epochs=_read(workdir / "metrics.jsonl", _EPOCHS, ("seed", "cycle", "epoch")),
        given_up=frozenset(diverged["seed"][ended].tolist()),
        states={seed: _steps(workdir, seed) for seed in config["seeds"]},
    )


def layers_table(
    run: Inspection, seed: int, cycle: int, shapes: Mapping[str, Sequence[int]]
) -> Table:
    """The layers of a network: shape, weights kept, density.

    Args:
        run: What was found.
        seed: One of the run's.
        cycle: One that the seed has finished.
        shapes: Of the weights by their paths.
    """
    rows = (run.layers["seed"] == seed) & (run.layers["cycle"] == cycle)
    table = make_table(
        f"seed {seed} · cycle {cycle}", "layer", "shape", "size", "kept", "density %"
    )
    columns = [run.layers[name][rows].tolist() for name in ("layer", "size", "kept")]
    columns.append([sum(columns[1]), sum(columns[2])])
    for layer, size, kept in (*zip(*columns[:3], strict=True), ("all", *columns[3])):
        shape = "×".join(map(str, shapes.get(layer, ())))
        table.add_row(layer, shape, f"{size:,}", f"{kept:,}", format_percent(kept / size))
    return table


def checkpoints_table(run: Inspection, *, verify: bool) -> Table:
    """The saved states of each seed, and the rewind point.

    Args:
        run: What was found.
        verify: Whether each file is read and compared with its checksum.
    """
    heads = ("seed", "step", "after", "megabytes", *(["sound"] if verify else []))
    table = make_table("checkpoints", *heads)
    for seed, what, path in _checkpoints(run):
        cells = [str(seed), path.name, what, f"{_size(path) / 1e6:.2f}"]
        table.add_row(*cells, *([find_damage(path / "state") or "yes"] if verify else []))
    return table


def next_lines(run: Inspection) -> list[str]:
    """What is next, in a line or two."""
    lines = [f"seed {seed} was given up, as it diverged" for seed in sorted(run.given_up)]
    left = [seed for seed in run.config["seeds"] if not run.is_finished(seed)]
    if not left:
        return [*lines, "finished: nothing is left to train"]
    seed, *others = left
    step = max(run.states[seed], default=0)
    cycle, epoch = run.position(step)
    where = f"cycle {cycle} epoch {epoch} of seed {seed}"
    where += f", then seed {', '.join(map(str, others))}" if others else ""
    holder = _holder(run.workdir)
    if holder:
        return [*lines, f"process {holder} is at work: from {where}"]
    environment = run.workdir / "environment.json"
    command = read_environment(environment).get("command") if environment.exists() else None
    goes_on = [f"    {command}"] if command else []
    return [*lines, f"next: {where}; the same command goes on from there", *goes_on]


def written_shapes(workdir: Path) -> dict[str, Any] | None:
    """The shapes of the weights by their paths; older runs have not written them."""
    path = workdir / "network.json"
    return dict(read_object(path).get("shapes", {})) if path.exists() else None


def finished_cycles(run: Inspection, seed: int) -> list[int]:
    """The cycles that a seed has finished."""
    return np.unique(run.layers["cycle"][run.layers["seed"] == seed]).tolist()


def _checkpoints(run: Inspection) -> Iterator[tuple[int, str, Path]]:
    for seed, steps in run.states.items():
        directory = run.workdir / "checkpoints" / f"seed_{seed}"
        for path in sorted((directory / "rewind").glob("*")):
            if path.name.isdigit():
                yield seed, "rewind point", path
        for step in steps:
            yield seed, run.reached(step), directory / "states" / str(step)


def _steps(workdir: Path, seed: int) -> list[int]:
    states = (workdir / "checkpoints" / f"seed_{seed}" / "states").glob("*")
    return sorted(int(path.name) for path in states if path.name.isdigit())


def _size(directory: Path) -> int:
    """The bytes of its files, some of which a run that is going on may remove meanwhile."""
    size = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                size += (Path(folder) / name).stat().st_size
    return size


def _read(path: Path, kinds: Mapping[str, type], key: tuple[str, ...]) -> Columns:
    """A table; without rows where the run has not come so far."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    is_json = path.suffix == ".jsonl"
    if len(lines) <= (0 if is_json else 1):
        return no_rows(kinds)
    return (read_jsonl if is_json else read_csv)(path, kinds, key)


def _holder(workdir: Path) -> str | None:
    """The process that holds the run's lock."""
    try:
        with (workdir / ".lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip()
    except OSError:
        pass
    return None


def make_table(title: str, *heads: str) -> Table:
    """An empty table with these heads; names to the left, numbers to the right."""
    names = ("layer", "after", "sound", "work")
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="left" if head in names else "right")
    return table
