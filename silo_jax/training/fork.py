"""A new run that takes over finished cycles of another one and goes on under another config."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from silo_jax.training.config import rewind_policies
from silo_jax.training.experiment import Experiment
from silo_jax.training.results import Results, write_json
from silo_jax.training.workdir import (
    checkpoints_of,
    differences,
    earlier_config,
    has_started,
    lock,
)

# Fields that settle which arrays a state has, what its step means, or what it has been trained on.
_FIXED = (
    "data.",
    "evaluation.",
    "model.",
    "pruning.criterion",
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
    return cycles


def fork(source: Path, workdir: Path, experiment: Experiment, cycles: int) -> None:
    """Takes over checkpoints, rewind points and result rows of the first cycles of every seed.

    Stopped on the way, it does the same again. Peaks of the cycles to come are those of the config.

    Raises:
      ValueError: another process holds the source.
      DamagedCheckpointError: one of the states there is damaged.
    """
    note = {"source": str(source), "cycles": cycles}
    with lock(source):
        write_json(workdir / "fork.json", {**note, "complete": False})
        for seed in experiment.config.seeds:
            _take_over(source, workdir, experiment, seed, cycles)
        write_json(workdir / "fork.json", {**note, "complete": True})


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
    return json.loads(path.read_text()) if path.exists() else None


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
    kept = source / "checkpoints" / f"seed_{config.seeds[0]}" / "rewind"
    if "weights" in rewind_policies(config) and not any(kept.glob("[0-9]*")):
        raise ValueError(
            f"rewind.policy: {config.rewind.policy}; allowed: one without weights, as {source} "
            "has no rewind point"
        )


def _finished_cycles(source: Path, experiment: Experiment, seed: int) -> int:
    steps_per_cycle = experiment.lengths.steps_per_cycle
    states = (source / "checkpoints" / f"seed_{seed}" / "states").glob("[0-9]*")
    steps = [int(path.name) for path in states if path.name.isdigit()]
    return max((s // steps_per_cycle for s in steps if s % steps_per_cycle == 0), default=0)
