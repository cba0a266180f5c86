"""Checkpoints of a run: resume points, the end of every cycle, and the rewind point.

Orbax writes a checkpoint beside its place and renames it when all is there, so a kill leaves a
whole one or none. Just before that the checksum of every file is written into it; a checkpoint is
read only after its files agree with their checksums, and its leaves with those asked for.
"""

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from silo_jax.checks import require_int
from silo_jax.checksums import find_damage, write_checksums
from silo_jax.distributed import is_primary, wait_for_all
from silo_jax.rewinding import RewindPoint
from silo_jax.training.state import TrainState

PyTree = Any

if jax.__version_info__ < (0, 7):
    # Orbax has every device save a share of what all of them have whole; for that it takes
    # `jax.sharding.set_mesh` for a context manager, which older JAX does not have.
    _whole = ocp.type_handlers.ArrayHandler(use_replica_parallel=False)
    ocp.type_handlers.register_type_handler(jax.Array, _whole, override=True)


class DamagedCheckpointError(OSError):
    """A checkpoint whose files, or whose leaves, are not what they have to be."""


class Checkpoints:
    """What one seed of a run keeps under ``directory``.

    ``states/<step>`` holds the state after that global step: the newest ones, and for good the one
    at the end of every cycle, in which ``masks`` are those of the cycle and ``next_masks`` those
    after pruning. ``rewind/<step>`` holds the rewind point, which is never collected. ``damaged/``
    holds what was found damaged when an older state could be used in its stead.
    """

    def __init__(
        self, directory: Path, *, steps_per_cycle: int, steps_per_epoch: int = 1, keep: int = 2
    ) -> None:
        """Args:
        directory: absolute path; made when it is not there.
        steps_per_cycle: states at multiples of it are kept for good.
        steps_per_epoch: epochs end at multiples of it after a cycle's start, and with the cycle;
          the newest state at the end of an epoch is kept, too.
        keep: how many of the newest states are kept; with 1 there is none to fall back on but
          the ends of cycles.

        Raises:
          ValueError: ``keep`` is below 1.
          OSError: one line; the directory cannot be made or read.
        """
        require_int("keep", keep, minimum=1)
        self._directory = directory
        self._kept = _Kept(keep, steps_per_cycle, steps_per_epoch)
        with self._writing():
            self._states = _manager(directory / "states", preservation_policy=self._kept)
            self._rewind = _manager(directory / "rewind")

    def save(self, state: TrainState) -> None:
        """Saves the state under its step; it is written while training goes on.

        A step that is there already is not written again.

        Raises:
          OSError: one line; this state or the one before it could not be written. Those before
            are as they were.
        """
        with self._writing():
            _save(self._states, state.step, state)

    def latest_step(self) -> int | None:
        """The step of the newest complete state, None when there is none."""
        return self._states.latest_step()

    def is_sound(self, step: int) -> bool:
        """Whether there is a state at a step, and its files agree with their checksums."""
        path = self._directory / "states" / str(step)
        return step in self._states.all_steps() and find_damage(path / "state") is None

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """The state at a step, by default the newest sound one.

        States that are newer than the newest sound one are named in a warning and moved into
        ``damaged/``; from then on ``latest_step`` is the step of the state returned.

        Args:
          like: a state of the same structure, shapes and dtypes, placed as the result shall be,
            on any number of devices.
          step: a step at which a state was kept.

        Raises:
          FileNotFoundError: there is none.
          DamagedCheckpointError: one line; the state at that step, or every state, is damaged or
            not like ``like``. Nothing has been moved.
        """
        if step is not None or self.latest_step() is None:
            return _read(self._states, step, like)
        damaged: dict[int, DamagedCheckpointError] = {}
        for candidate in sorted(self._states.all_steps(), reverse=True):
            try:
                state = _read(self._states, candidate, like)
            except DamagedCheckpointError as error:
                damaged[candidate] = error
            else:
                self._put_aside(damaged, candidate)
                return state
        newest, *older = damaged.values()
        others = f"; nor is any of the {len(older)} older ones sound" if older else ""
        raise DamagedCheckpointError(f"{newest}{others}") from newest

    def drop_after_epoch(self) -> None:
        """Drops the states past the newest one at the end of an epoch, and rewind points there."""
        end = max(filter(self._kept.ends_epoch, self._states.all_steps()), default=0)
        dropped = self._directory / "dropped"
        managers = self._states, self._rewind
        with self._writing():
            self._states.wait_until_finished()
            wait_for_all("states are written")
            if is_primary():
                for manager in managers:
                    for step in [step for step in manager.all_steps() if step > end]:
                        # Half a state must not be left under its own name, however this ends.
                        shutil.rmtree(dropped, ignore_errors=True)
                        Path(manager.directory / str(step)).rename(dropped)
                shutil.rmtree(dropped, ignore_errors=True)
            wait_for_all("states are dropped")
            for manager in managers:
                manager.reload()

    def save_rewind_point(self, state: TrainState) -> None:
        """Saves weights and BatchNorm statistics as the rewind point, and waits until it is there.

        A rewind point that an earlier session has saved stays.

        Raises:
          OSError: one line; it could not be written.
        """
        if not self.has_rewind_point():
            point = RewindPoint(state.params, state.batch_stats)
            with self._writing():
                _save(self._rewind, state.step, point._asdict())
                self._rewind.wait_until_finished()

    def has_rewind_point(self) -> bool:
        return self._rewind.latest_step() is not None

    def restore_rewind_point(self, like: TrainState) -> RewindPoint:
        """The rewind point, placed as ``like`` is.

        Raises:
          DamagedCheckpointError: one line; it is damaged or not like ``like``.
        """
        point = RewindPoint(like.params, like.batch_stats)
        return RewindPoint(**_read(self._rewind, self._rewind.latest_step(), point._asdict()))

    def close(self) -> None:
        """Waits until everything is written.

        Raises:
          OSError: one line; the state saved last could not be written.
        """
        with self._writing(), closing(self._rewind), closing(self._states):
            pass

    def _put_aside(self, damaged: dict[int, DamagedCheckpointError], used: int) -> None:
        """Moves the states that cannot be used away, so that their steps can be saved again."""
        if not damaged:
            return
        if is_primary():
            for step, error in damaged.items():
                (self._directory / "damaged").mkdir(exist_ok=True)
                aside = tempfile.mkdtemp(prefix=f"{step}_", dir=self._directory / "damaged")
                (self._directory / "states" / str(step)).rename(aside)
                warnings.warn(f"{error}; moved to {aside}, step {used} is used", stacklevel=3)
        wait_for_all("damaged states are put aside")
        self._states.reload()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Whatever goes wrong in orbax's threads, under one name and in one line."""
        try:
            yield
        except Exception as error:
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            raise OSError(f"{self._directory}: checkpoints cannot be written: {cause}") from error


class _Kept(NamedTuple):
    """Which states are not collected, as orbax asks for it."""

    newest: int
    steps_per_cycle: int
    steps_per_epoch: int

    def ends_cycle(self, step: int) -> bool:
        return step % self.steps_per_cycle == 0

    def ends_epoch(self, step: int) -> bool:
        return step % self.steps_per_cycle % self.steps_per_epoch == 0

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        newest = sorted(steps)[-self.newest :]
        last_epoch = max(filter(self.ends_epoch, steps), default=None)
        return [s in newest or s == last_epoch or self.ends_cycle(s) for s in steps]


class _ChecksummedHandler(ocp.StandardCheckpointHandler):
    """Adds the checksums of its files to an item before orbax renames it."""

    def finalize(self, directory: Any) -> None:
        super().finalize(directory)
        write_checksums(Path(directory))


def _manager(directory: Path, **options: Any) -> ocp.CheckpointManager:
    directory.mkdir(parents=True, exist_ok=True)
    # Two managers may write at the same time, so that their barriers need names of their own.
    processes = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=directory.name)
    handler = _ChecksummedHandler(multiprocessing_options=processes)
    handlers = ocp.handlers.DefaultCheckpointHandlerRegistry()
    handlers.add("state", ocp.args.StandardSave, handler)
    handlers.add("state", ocp.args.StandardRestore, handler)
    settings = ocp.CheckpointManagerOptions(
        cleanup_tmp_directories=True,
        multiprocessing_options=processes,
        # If a directory could not be made in the background, the threads that wait for it would
        # keep the process from ending for minutes.
        async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        **options,
    )
    return ocp.CheckpointManager(directory, options=settings, handler_registry=handlers)


def _save(manager: ocp.CheckpointManager, step: jax.Array, tree: PyTree) -> None:
    manager.save(int(step), args=ocp.args.Composite(state=ocp.args.StandardSave(tree)))


def _read(manager: ocp.CheckpointManager, step: int | None, like: PyTree) -> PyTree:
    if step is None:
        raise FileNotFoundError(f"{manager.directory}: no checkpoint is there")
    path = Path(manager.directory / str(step))
    problem = find_damage(path / "state")
    if problem is None:
        problem = _find_difference(manager.item_metadata(step).state.tree, like)
    if problem is not None:
        raise DamagedCheckpointError(f"checkpoint {path}: {problem}")
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
    return manager.restore(step, args=args).state


def _find_difference(saved: PyTree, like: PyTree) -> str | None:
    """The first leaf that is not of the shape and dtype asked for."""
    found, expected = _leaves(saved), _leaves(like)
    for path in sorted(found.keys() | expected.keys()):
        saved_as, wanted_as = found.get(path, "missing"), expected.get(path, "no such leaf")
        if saved_as != wanted_as:
            return f"{path} is {saved_as}, expected {wanted_as}"
    return None


def _leaves(tree: PyTree) -> dict[str, str]:
    """What every leaf is, by its path: ``{"params/Dense_0/kernel": "float32 (784, 300)"}``."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype} {leaf.shape}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
