"""A new run that takes over finished cycles of another one and goes on under another config."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from silo_jax.checksums import find_damage
from silo_jax.files import write_atomically, write_json
from silo_jax.training.config import rewind_policies
from silo_jax.training.experiment import Experiment
from silo_jax.training.results import Results
from silo_jax.training.workdir import (
    checkpoints_of,
    differences,
    earlier_config,
    has_started,
)

# Fields that settle which arrays a state has, what its step means, or what it has been trained on.
_FIXED = (
    "data.",
    "evaluation.",
    "model.",
    "pruning.criterion",
    "pruning.fraction",
    "pruning.prunable",
    "rewind.epoch",
    "rewind.step",
    "training.batch_size",
    "training.drop_last",
    "training.epochs_per_cycle",
    "training.optimizer",
    "training.steps_per_cycle",
)


def check_fork(source: Path | None, workdir: Path, experiment: Experiment) -> int:
    """How many cycles the run in ``workdir`` takes over from the one in ``source``.

    These are the cycles that every seed has finished there; 0 without a source, and when they have
    been taken over already.

    Raises:
      ValueError: one line; there is no such run, its config differs in a field that must not, or
        ``workdir`` holds another run. Nothing has been written then.
    """
    begun = _begun(workdir)
    if source is None:
        if begun and not begun["complete"]:
            raise ValueError(f"--fork: missing; allowed: --fork={begun['source']}, as at first")
        return 0
    if begun is None and has_started(workdir):
        raise ValueError(f"--fork: {source} into {workdir}; allowed: a new workdir")
    if begun and begun["source"] != str(source):
        raise ValueError(f"--fork: {source}; allowed: {begun['source']}, as at first")
    if begun and begun["complete"]:
        return 0
    _check_config(source, experiment)
    cycles = min(_finished_cycles(source, experiment, seed) for seed in experiment.config.seeds)
    if cycles == 0:
        raise ValueError(f"--fork: {source}; allowed: a run in which each seed has a whole cycle")
    if cycles >= experiment.num_cycles:
        raise ValueError(
            f"pruning.num_cycles: {experiment.num_cycles}; allowed: more than the {cycles} that "
            f"are finished in {source}"
        )
    _check_states(source, experiment, cycles)
    return cycles


def fork(source: Path, workdir: Path, experiment: Experiment, cycles: int) -> None:
    """Takes over checkpoints, rewind points and result rows of the first cycles of every seed.

    Stopped on the way, it does the same again. Peaks of the cycles to come are those of the config.

    Raises:
      OSError: one line; a state there is damaged, or a file cannot be written.
    """
    note = {"source": str(source), "cycles": cycles}
    write_json(workdir / "fork.json", {**note, "complete": False})
    write_atomically(workdir / "schedule.csv", (source / "schedule.csv").read_bytes())
    for seed in experiment.config.seeds:
        _take_over(source, workdir, experiment, seed, cycles)
    write_json(workdir / "fork.json", {**note, "complete": True})


def forked_cycles(workdir: Path) -> int:
    """How many cycles the run has taken over from another one."""
    begun = _begun(workdir)
    return begun["cycles"] if begun else 0


@contextmanager
def held(source: Path) -> Iterator[None]:
    """Keeps processes out of a run that would go on with it.

    Raises:
      ValueError: one does.
    """
    with (source / ".lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"--fork: {source} is in use by process {file.read().strip()}; allowed: a run that "
                "nobody goes on with"
            ) from None
        yield


def _take_over(source: Path, workdir: Path, experiment: Experiment, seed: int, cycles: int) -> None:
    """Takes over one seed: its state at the end of each cycle, rewind point and rows."""
    per_cycle, planned = experiment.lengths.steps_per_cycle, jnp.array(experiment.peaks)
    num_cycles = earlier_config(source)["pruning.num_cycles"]
    like = experiment.create_state(seed).replace(peaks=jnp.zeros(num_cycles))
    theirs = checkpoints_of(source, experiment, seed)
    ours = checkpoints_of(workdir, experiment, seed)
    with closing(theirs), closing(ours):
        if theirs.has_rewind_point():
            point = theirs.restore_rewind_point(like)
            first = jnp.asarray(experiment.lengths.rewind_step, jnp.int32)
            ours.save_rewind_point(like.replace(step=first, **point._asdict()))
        Results(workdir).take_over(Results(source), seed, cycles * per_cycle)
        for cycle in range(1, cycles + 1):
            state = theirs.restore(like, cycle * per_cycle)
            peaks = jnp.concatenate([state.peaks[:cycles], planned[cycles:]])
            ours.save(state.replace(peaks=peaks))


def _begun(workdir: Path) -> dict[str, Any] | None:
    """What an earlier session has noted of the fork, None if there was none."""
    path = workdir / "fork.json"
    try:
        return dict(json.loads(path.read_text())) if path.exists() else None
    except ValueError:
        raise ValueError(f"workdir: {path} is damaged; allowed: a new directory") from None


def _check_config(source: Path, experiment: Experiment) -> None:
    if not has_started(source):
        raise ValueError(f"--fork: {source}; allowed: the directory of a run")
    earlier, config = earlier_config(source), experiment.config
    changed = differences(earlier, config, only=_FIXED)
    if changed:
        raise ValueError(
            f"--fork: {source} with another config ({'; '.join(changed)}); "
            f"allowed: the same in {', '.join(name.rstrip('.') for name in _FIXED)}"
        )
    new_seeds = sorted(set(config.seeds) - set(earlier["seeds"]))
    if new_seeds:
        raise ValueError(f"seeds: {new_seeds}; allowed: those of {source}, {earlier['seeds']}")
    for seed in config.seeds:
        kept = source / "checkpoints" / f"seed_{seed}" / "rewind"
        if "weights" in rewind_policies(config) and not any(kept.glob("[0-9]*")):
            raise ValueError(
                f"rewind.policy: {config.rewind.policy}; allowed: one without weights, as {source} "
                f"has no rewind point of seed {seed}"
            )


def _check_states(source: Path, experiment: Experiment, cycles: int) -> None:
    for seed in experiment.config.seeds:
        states = source / "checkpoints" / f"seed_{seed}" / "states"
        for cycle in range(1, cycles + 1):
            path = states / str(cycle * experiment.lengths.steps_per_cycle)
            problem = find_damage(path / "state")
            if problem:
                raise ValueError(f"--fork: {path}: {problem}; allowed: a run with sound states")


def _finished_cycles(source: Path, experiment: Experiment, seed: int) -> int:
    steps_per_cycle = experiment.lengths.steps_per_cycle
    states = (source / "checkpoints" / f"seed_{seed}" / "states").glob("[0-9]*")
    steps = [int(path.name) for path in states if path.name.isdigit()]
    return max((s // steps_per_cycle for s in steps if s % steps_per_cycle == 0), default=0)
