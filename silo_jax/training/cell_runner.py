"""Runs cells, several at once as replicas of one program."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
import numpy as np

from silo_jax.checkpoint import Checkpoints
from silo_jax.pruning import layer_counts
from silo_jax.rewinding import RewindPoint
from silo_jax.training.cells import Cell, CellFiles, Row, Work, cell_files, is_finished
from silo_jax.training.config import rewind_policies
from silo_jax.training.experiment import Experiment
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.next_cycle import NextCycle
from silo_jax.training.programs import means
from silo_jax.training.progress import CellsProgress
from silo_jax.training.replica_epochs import ReplicaEpochs, StreamedReplica, make_epochs
from silo_jax.training.replicas import over_replicas, replica, stack
from silo_jax.training.scoring import needs_test
from silo_jax.training.state import Sums, TrainState, all_finite
from silo_jax.training.workdir import lock

_SECONDS_BETWEEN_SAVES = 60.0


class CellRunner:
    """Runs the cells of one experiment, each from its newest state if it has one.

    Cells that stand at the same step are trained together. A cell whose loss is not finite any more
    is noted and left; the others are not touched by it. Results are the same in whatever company a
    cell is trained, bit for bit with the strategies "map" and "shard" (JAX 0.7 or newer).
    """

    def __init__(
        self,
        experiment: Experiment,
        directory: Path,
        *,
        strategy: str,
        at_once: int,
        stop: StopRequest,
        progress: CellsProgress,
    ) -> None:
        """Args:
        experiment: of the cells, whose batches are not split over devices.
        directory: of the study.
        strategy: see `silo_jax.training.replicas.over_replicas`.
        at_once: how many cells are trained together, at most; 1 for streamed data.
        stop: looked at about once a second while training.
        progress: where it is shown.
        """
        self._experiment, self._directory = experiment, directory
        self._strategy, self._at_once = strategy, at_once
        self._stop, self._progress = stop, progress
        self._steps_per_cycle = experiment.lengths.steps_per_cycle
        self._is_rewound = "weights" in rewind_policies(experiment.config)
        self._epochs: dict[int, ReplicaEpochs | StreamedReplica] = {}
        like = experiment.create_state(experiment.config.seeds[0])
        next_cycle = NextCycle(experiment, like)
        self._policy_after = next_cycle.policy_after
        self._next_cycle = {
            policy: jax.jit(partial(self._start_cycles, program))
            for policy, program in next_cycle.programs.items()
        }
        self._is_finite = jax.jit(jax.vmap(all_finite))

    def run(self, work: Work, note: Callable[[], object] = lambda: None) -> None:
        """Runs those that are not finished, and calls ``note`` after each epoch.

        Raises:
          Stopped: it was asked to stop; the states are saved.
          ValueError: another process runs one of the cells.
          OSError: a file cannot be read or written; one line.
        """
        for cells in self._groups(work):
            self._stop.raise_if_asked()
            with ExitStack() as holding:
                for cell in cells:
                    directory = cell_files(self._directory, work, cell).directory
                    directory.mkdir(parents=True, exist_ok=True)
                    holding.enter_context(lock(directory))
                # Another process may have come further with them meanwhile.
                for still in self._groups(work._replace(cells=tuple(cells))):
                    self._run_together(work, still, note)

    def close(self) -> None:
        """Ends the processes that read data, if there are any."""
        for epochs in self._epochs.values():
            epochs.close()

    def _groups(self, work: Work) -> Iterator[list[Cell]]:
        """The cells to run, in groups that stand at the same step."""
        directory, experiment = self._directory, self._experiment
        todo = [c for c in work.cells if not is_finished(directory, work, c, experiment)]
        steps = {cell: self._step_of(work, cell) for cell in todo}
        for _, cells in groupby(sorted(todo, key=steps.__getitem__), key=steps.__getitem__):
            together = list(cells)
            for first in range(0, len(together), self._at_once):
                yield together[first : first + self._at_once]

    def _step_of(self, work: Work, cell: Cell) -> int:
        reached = cell_files(self._directory, work, cell).latest_step()
        return cell.first_cycle * self._steps_per_cycle if reached is None else reached

    def _run_together(self, work: Work, cells: Sequence[Cell], note: Callable[[], object]) -> None:
        files = [cell_files(self._directory, work, cell) for cell in cells]
        ways = [self._start(cell, file) for cell, file in zip(cells, files, strict=True)]
        # A group that is not full is filled up with copies, which are not trained.
        size = self._group_size(work)
        ways += [ways[0]] * (size - len(ways))
        states, points = stack([state for state, _ in ways]), stack([point for _, point in ways])
        self._epochs_of(states)  # compiled before the group's clock starts
        group = _Group(work, cells, files, alive=np.arange(size) < len(cells))
        end = cells[0].end_cycle * self._steps_per_cycle
        step, last_save = int(ways[0][0].step), time.monotonic()
        self._progress.resume(len(cells) * (step // self._steps_per_cycle - cells[0].first_cycle))
        while step < end and group.alive.any():
            if step and step % self._steps_per_cycle == 0:
                policy = self._policy_after(states.replace(step=step))
                states = self._next_cycle[policy](states, points)
            cycle, epoch, epoch_end = self._experiment.position(step)
            states, sums, points = self._train_to(group, states, points, step, epoch_end)
            if np.max(states.step, where=group.alive, initial=0) < epoch_end:
                self._stop_if_asked(group, states)
            self._note_lost(group, states, sums)
            step = epoch_end
            self._add_rows(group, states, sums, (cycle, epoch))
            note()
            if step == end:
                break
            self._stop_if_asked(group, states)
            if time.monotonic() - last_save > _SECONDS_BETWEEN_SAVES:
                self._save(group, states)
                last_save = time.monotonic()
        if work.keep_end:
            self._save(group, states)
        else:
            for file in files:
                file.drop_state()

    def _group_size(self, work: Work) -> int:
        """As many for each group of a work, so that one program serves all."""
        size = min(self._at_once, len(work.cells))
        devices = len(jax.local_devices()) if self._strategy == "shard" else 1
        return -(-size // devices) * devices if size > 1 else 1

    def _start(self, cell: Cell, files: CellFiles) -> tuple[TrainState, RewindPoint]:
        """The state from which a cell goes on, and the point to which its weights are rewound."""
        fresh = self._experiment.create_state(cell.seed)
        point = RewindPoint(fresh.params, fresh.batch_stats)
        fresh = fresh.replace(peaks=np.asarray(cell.peaks, np.float32))
        reached, cells = files.latest_step(), self._directory / "cells"
        files.drop_after(reached or 0)
        if reached is not None:
            with closing(self._checkpoints(files)) as checkpoints:
                state = checkpoints.restore(fresh)
        elif cell.after:
            with closing(self._checkpoints(CellFiles(cells / cell.after))) as checkpoints:
                end = cell.first_cycle * self._steps_per_cycle
                state = checkpoints.restore(fresh, end).replace(peaks=fresh.peaks)
        else:
            state = fresh
        origin = CellFiles(cells / cell.origin) if cell.origin else files
        late = self._experiment.lengths.rewind_step
        if self._is_rewound and late and int(state.step) > late:
            with closing(self._checkpoints(origin)) as checkpoints:
                point = checkpoints.restore_rewind_point(fresh)
        return state, point

    def _start_cycles(self, program: Any, states: TrainState, points: RewindPoint) -> TrainState:
        """The states at the next cycle's start; one prune after another, to save memory."""
        strategy = "shard" if self._strategy == "shard" else "map"
        over_all = over_replicas(strategy, lambda pair: program(*pair), states.step.shape[0])
        return over_all((states, points))

    def _checkpoints(self, files: CellFiles) -> Checkpoints:
        """Its newest state alone; no cycle's end is kept for its own sake."""
        never = self._experiment.num_steps + 1
        return Checkpoints(
            files.checkpoints.absolute(), steps_per_cycle=never, steps_per_epoch=never, keep=1
        )

    def _train_to(
        self, group: "_Group", states: TrainState, points: RewindPoint, step: int, end: int
    ) -> tuple[TrainState, Sums, RewindPoint]:
        """Trains to the end of an epoch, and keeps the rewind point that lies on the way."""
        epochs, late = self._epochs_of(states), self._experiment.lengths.rewind_step
        if self._is_rewound and late and step <= late < end:
            states, sums = epochs.train(states, np.where(group.alive, late, 0))
            self._note_lost(group, states, sums)
            if self._stop.signum is not None:
                return states, sums, points
            points = jax.device_get(RewindPoint(states.params, states.batch_stats))
            host = jax.device_get(states)
            for i in group.living():
                with closing(self._checkpoints(group.files[i])) as checkpoints:
                    checkpoints.save_rewind_point(replica(host, i))
        return *epochs.train(states, np.where(group.alive, end, 0)), points

    def _epochs_of(self, states: TrainState) -> "ReplicaEpochs | StreamedReplica":
        size = states.step.shape[0]
        if size not in self._epochs:
            make = partial(make_epochs, self._experiment, states, self._strategy, self._stop)
            self._epochs[size] = self._stop.interruptibly(make)
        return self._epochs[size]

    def _stop_if_asked(self, group: "_Group", states: TrainState) -> None:
        """Saves the states and raises Stopped, if the process was asked to stop."""
        if self._stop.signum is not None:
            self._save(group, states)
            self._stop.raise_if_asked()

    def _save(self, group: "_Group", states: TrainState) -> None:
        """Saves the states of a group, all of one step."""
        host = jax.device_get(states)
        for i in group.living():
            with closing(self._checkpoints(group.files[i])) as checkpoints:
                checkpoints.save(jax.tree.map(np.asarray, replica(host, i)))

    def _note_lost(self, group: "_Group", states: TrainState, sums: Sums) -> None:
        """Notes the cells that have just diverged, which are trained no further."""
        lost = ~(np.isfinite(sums.loss) & np.asarray(self._is_finite(states)))
        if not (lost & group.alive).any():
            return
        steps, peaks = np.asarray(states.step), np.asarray(states.peaks)
        for i in group.living():
            if lost[i]:
                cycle = int(steps[i] - 1) // self._steps_per_cycle
                row = {"cycle": cycle, "step": int(steps[i]), "max_lr": float(peaks[i, cycle])}
                group.files[i].add(row | {"seconds": group.seconds_each(), "diverged": True})
                self._progress.diverged(group.work, group.cells[i], cycle)
        group.alive &= ~lost

    def _add_rows(
        self, group: "_Group", states: TrainState, sums: Sums, position: tuple[int, int]
    ) -> None:
        """Evaluates after an epoch that may be scored, and adds a line for each cell."""
        cycle, epoch = position
        select = self._experiment.config.evaluation.select
        ends_cycle = epoch + 1 == self._experiment.epochs_per_cycle
        living = group.living()
        if not living or (select == "last" and not ends_cycle):
            return
        host, sums = jax.device_get((states, sums))
        epochs = self._epochs_of(states)
        validation = jax.device_get(epochs.evaluate(states, "val"))
        rows: dict[int, Row] = {i: self._row(replica(host, i), cycle, epoch) for i in living}
        earlier = {i: [r for r in group.files[i].rows() if r["cycle"] == cycle] for i in living}
        for i in living:
            rows[i] |= means("train", replica(sums, i)) | means("val", replica(validation, i))
        tested = [
            i for i in living if needs_test(select, rows[i], earlier[i], ends_cycle=ends_cycle)
        ]
        if tested:
            test = jax.device_get(epochs.evaluate(states, "test"))
            for i in tested:
                rows[i] |= means("test", replica(test, i))
        seconds = group.seconds_each()
        group.started = time.perf_counter()
        for i, row in rows.items():
            row |= {"seconds": seconds, "ends_cycle": ends_cycle}
            group.files[i].add(row)
            self._progress.epoch(group.work, group.cells[i], row)

    def _row(self, state: Any, cycle: int, epoch: int) -> Row:
        counts = layer_counts(state.masks).values()
        density = sum(kept for _, kept in counts) / sum(size for size, _ in counts)
        return {
            "cycle": cycle,
            "epoch": epoch + 1,
            "step": int(state.step),
            "density": density,
            "max_lr": float(state.peaks[cycle]),
        }


class _Group:
    """Cells that are trained together; those that have diverged are not alive any more."""

    def __init__(
        self, work: Work, cells: Sequence[Cell], files: Sequence[CellFiles], alive: Any
    ) -> None:
        self.work, self.cells, self.files, self.alive = work, cells, files, alive
        self.started = time.perf_counter()  # or when their last lines were written

    def seconds_each(self) -> float:
        """The time since then, shared among the cells that are alive."""
        return round((time.perf_counter() - self.started) / len(self.living()), 4)

    def living(self) -> list[int]:
        return [int(i) for i in np.flatnonzero(self.alive)]
