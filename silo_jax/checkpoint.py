"""Checkpoints of a run: resume points, the end of every cycle, and the rewind point."""

from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from silo_jax.rewinding import RewindPoint
from silo_jax.training.state import TrainState

PyTree = Any


class Checkpoints:
    """What one seed of a run keeps under ``directory``.

    ``states/<step>`` holds the state after that global step: the newest one, and for good the one
    at the end of every cycle, in which ``masks`` are those of the cycle and ``next_masks`` those
    after pruning. ``rewind/<step>`` holds the rewind point.
    """

    def __init__(self, directory: Path, *, steps_per_cycle: int) -> None:
        """Args:
        directory: absolute path; made when it is not there.
        steps_per_cycle: states at multiples of it are kept for good.
        """
        self._states = _manager(directory / "states", max_to_keep=1, keep_period=steps_per_cycle)
        self._rewind = _manager(directory / "rewind")

    def save(self, state: TrainState) -> None:
        """Saves the state under its step; it is written while training goes on."""
        self._states.save(int(state.step), args=ocp.args.StandardSave(state))

    def latest_step(self) -> int | None:
        """The step of the newest complete state, None when there is none."""
        return self._states.latest_step()

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """The state at a step, by default the newest.

        Args:
          like: a state of the same structure, shapes and placement.
          step: a step at which a state was kept.
        """
        step = self._states.latest_step() if step is None else step
        return _restore(self._states, step, like)

    def save_rewind_point(self, state: TrainState) -> None:
        """Saves weights and BatchNorm statistics as the rewind point, and waits until it is there.

        A rewind point that an earlier session has saved stays.
        """
        if self._rewind.latest_step() is None:
            point = RewindPoint(state.params, state.batch_stats)
            self._rewind.save(int(state.step), args=ocp.args.StandardSave(point._asdict()))
            self._rewind.wait_until_finished()

    def restore_rewind_point(self, like: TrainState) -> RewindPoint:
        """The rewind point, placed as ``like`` is."""
        point = RewindPoint(like.params, like.batch_stats)
        return RewindPoint(**_restore(self._rewind, self._rewind.latest_step(), point._asdict()))

    def close(self) -> None:
        """Waits until everything is written."""
        with closing(self._rewind), closing(self._states):
            pass


def _manager(directory: Path, **options: Any) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(
        directory, options=ocp.CheckpointManagerOptions(create=True, **options)
    )


def _restore(manager: ocp.CheckpointManager, step: int | None, like: PyTree) -> PyTree:
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    return manager.restore(step, args=ocp.args.StandardRestore(abstract))
