"""The loop over seeds, cycles and epochs: train, evaluate, prune, checkpoint, rewind."""

import math
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from silo_jax.checkpoint import Checkpoints
from silo_jax.distributed import is_primary
from silo_jax.pruning import layer_counts
from silo_jax.schedules import cycle_schedule
from silo_jax.training.config import rewind_policies
from silo_jax.training.environment import write_environment
from silo_jax.training.experiment import Experiment
from silo_jax.training.facts import write_facts
from silo_jax.training.fork import forked_cycles
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.programs import Programs, means
from silo_jax.training.progress import RunProgress
from silo_jax.training.results import (
    Divergence,
    Results,
    results_of,
    write_schedule,
)
from silo_jax.training.scoring import chosen_epoch, needs_test
from silo_jax.training.state import Sums, TrainState
from silo_jax.training.workdir import checkpoints_of

_SCHEDULE_ROWS = 4000
_EPOCH_ONLY = ("lr", "images_per_second")


def run_seeds(
    experiment: Experiment,
    workdir: Path,
    console: Console,
    stop: StopRequest | None = None,
    num_cycles: int | None = None,
    *,
    tensorboard: bool = False,
) -> list[Divergence]:
    """Runs every seed to its end, each from its newest checkpoint if it has one.

    The train program is compiled once, for all epochs, cycles and seeds.

    Args:
      experiment: from `silo_jax.training.run.prepared`.
      workdir: directory of the run.
      console: where progress is shown.
      stop: looked at about once a second while training.
      num_cycles: how many of the config's cycles are trained; by default all.
      tensorboard: whether TensorBoard's event files are written, too.

    Returns:
      Where seeds were given up, as their loss was not finite, in this session or an earlier one.

    Raises:
      Stopped: it was asked to stop; the state is saved.
      OSError: a file cannot be written; what was written before is intact.
    """
    stop = stop or StopRequest()
    seeds = experiment.config.seeds
    if is_primary():
        _write_schedule(experiment, workdir)
        write_facts(workdir, experiment)
    num_cycles = num_cycles or experiment.num_cycles
    end = num_cycles * experiment.lengths.steps_per_cycle
    progress = RunProgress.of(experiment, num_cycles, console)
    programs = None
    stop.raise_if_asked()
    with progress, ExitStack() as stack:
        results = stack.enter_context(results_of(workdir, tensorboard=tensorboard))
        for seed in seeds:
            checkpoints = checkpoints_of(workdir, experiment, seed)
            with closing(checkpoints):
                if checkpoints.is_sound(end) or results.given_up(seed):
                    results.restart_events(seed)
                    progress.end(seed)
                    continue
                if programs is None:
                    if is_primary():
                        write_environment(workdir)
                    compiled = stop.interruptibly(partial(Programs, experiment, stop))
                    programs = stack.enter_context(closing(compiled))
                SeedRun(experiment, programs, seed, checkpoints, results, progress).run(end)
                progress.end(seed)
        return [divergence for seed in seeds if (divergence := results.given_up(seed))]


class SeedRun:
    """One seed of an experiment, from its newest checkpoint to the end of a cycle."""

    def __init__(
        self,
        experiment: Experiment,
        programs: Programs,
        seed: int,
        checkpoints: Checkpoints,
        results: Results,
        progress: RunProgress,
    ) -> None:
        self._experiment = experiment
        self._programs = programs
        self._seed = seed
        self._checkpoints = checkpoints
        self._results = results
        self._progress = progress

    def run(self, end_step: int) -> None:
        state = self._resume()
        while (step := int(state.step)) < end_step:
            if step and step % self._experiment.lengths.steps_per_cycle == 0:
                state = self._next_cycle(state)
            started = time.perf_counter()
            cycle, epoch, end = self._experiment.position(step)
            start = self._experiment.start_of_epoch(cycle, epoch)
            state, sums = self._train_to(state, end)
            if self._is_lost(state, sums, end):
                if self._diverge(state):
                    return
                state = self._resume()
                continue
            if int(state.step) == end:
                seconds, share = time.perf_counter() - started, (end - step) / (end - start)
                images_per_second = round(share * int(sums.examples) / seconds)
                self._finish_epoch(state, sums, cycle, epoch, seconds, images_per_second)
            if int(state.step) > step:
                self._checkpoints.save(state)
            self._programs.stop_if_asked()

    def _is_lost(self, state: TrainState, sums: Sums, end: int) -> bool:
        """Whether a loss was not finite, or the weights are not where they are looked at.

        That is at an epoch's end and at the rewind point: a stop in between changes nothing.
        """
        is_looked_at = int(state.step) in (end, self._experiment.lengths.rewind_step)
        return not np.isfinite(sums.loss) or (is_looked_at and not self._programs.is_finite(state))

    def _resume(self) -> TrainState:
        experiment = self._experiment
        state = experiment.create_state(self._seed)
        if self._checkpoints.latest_step() is not None:
            state = self._checkpoints.restore(state)
        step = int(state.step)
        self._results.drop_after(self._seed, step)
        self._progress.resume(self._seed, step)
        return self._with_lowered_peaks(state)

    def _with_lowered_peaks(self, state: TrainState) -> TrainState:
        """The state with the max_lr at which cycles go on that have diverged."""
        peaks = state.peaks
        for divergence in self._results.divergences(self._seed):
            peaks = peaks.at[divergence.cycle].set(divergence.next_max_lr)
        return state.replace(peaks=peaks)

    def _next_cycle(self, state: TrainState) -> TrainState:
        next_cycle, point, step = self._programs.next_cycle, None, int(state.step)
        policy = next_cycle.policy_after(state)
        if policy == "weights":
            point = self._checkpoints.restore_rewind_point(state)
        started = next_cycle(state, point)
        if policy == "finetune":
            # As it was written: a cycle that was taken over may have had another shape.
            last_lr, cycle = (
                self._results.last_lr(self._seed, step),
                self._experiment.position(step)[0],
            )
            started = started.replace(peaks=started.peaks.at[cycle].set(last_lr))
        return self._with_lowered_peaks(started)

    def _finish_epoch(
        self,
        state: TrainState,
        sums: Sums,
        cycle: int,
        epoch: int,
        train_seconds: float,
        images_per_second: int,
    ) -> None:
        """Evaluates after an epoch; the last one of a cycle adds the cycle's row."""
        started, step = time.perf_counter(), int(state.step)
        ends_cycle = step % self._experiment.lengths.steps_per_cycle == 0
        row = {
            "seed": self._seed,
            "cycle": cycle,
            "epoch": epoch + 1,
            "step": step,
            "density": self._density(state),
            "max_lr": float(state.peaks[cycle]),
            "lr": self._last_lr(state),
            **means("train", sums),
            **self._programs.evaluate(state, "val"),
            "images_per_second": images_per_second,
        }
        earlier = self._results.epochs_of_cycle(self._seed, cycle)
        select = self._experiment.config.evaluation.select
        if needs_test(select, row, earlier, ends_cycle=ends_cycle):
            row |= self._programs.evaluate(state, "test")
        row["seconds"] = round(train_seconds + time.perf_counter() - started, 4)
        self._results.add_epoch(row)
        self._progress.epoch(row)
        if ends_cycle:
            self._finish_cycle(state, cycle)

    def _last_lr(self, state: TrainState) -> float:
        return float(self._programs.learning_rate(state.replace(step=state.step - 1)))

    def _diverge(self, state: TrainState) -> bool:
        """Notes that the loss is not finite, and goes back or gives up; whether it gives up.

        What an earlier session has saved in the middle of this epoch is dropped first, so that it
        does not matter how often the run was stopped.
        """
        self._checkpoints.drop_after_epoch()
        step, training = int(state.step), self._experiment.config.training
        cycle = self._experiment.position(step - 1)[0]
        max_lr = float(state.peaks[cycle])
        before = [one for one in self._results.divergences(self._seed) if one.cycle == cycle]
        gives_up = len(before) >= training.divergence_retries
        self._results.add_divergence(
            Divergence(
                seed=self._seed,
                cycle=cycle,
                step=step,
                max_lr=max_lr,
                lr=self._last_lr(state),
                last_finite_loss=float(state.last_loss),
                last_sound_step=self._checkpoints.latest_step() or 0,
                next_max_lr=math.nan if gives_up else max_lr * training.divergence_factor,
            )
        )
        return gives_up

    def _train_to(self, state: TrainState, end: int) -> tuple[TrainState, Sums]:
        """Trains to the end of the epoch, with a stop at the rewind point if it lies on the way."""
        point, step = self._experiment.lengths.rewind_step, int(state.step)
        policies = rewind_policies(self._experiment.config)
        train = partial(self._programs.train, look=self._progress.watching(self._seed))
        if "weights" not in policies or not step <= point < end:
            return train(state, end)
        state, sums = train(state, point)
        if int(state.step) < point or not self._programs.is_finite(state):
            return state, sums
        self._checkpoints.save_rewind_point(state)
        return train(state, end)

    def _finish_cycle(self, state: TrainState, cycle: int) -> None:
        evaluation, step = self._experiment.config.evaluation, int(state.step)
        epochs = self._results.epochs_of_cycle(self._seed, cycle)
        scored = chosen_epoch(evaluation.select, epochs, last_epoch=evaluation.last_epoch)
        counts = layer_counts(state.masks)
        row = {
            **{key: value for key, value in scored.items() if key not in _EPOCH_ONLY},
            "step": step,
            "weights_left": sum(kept for _, kept in counts.values()),
            "max_lr": float(state.peaks[cycle]),
            "seconds": round(sum(epoch["seconds"] for epoch in epochs), 3),
        }
        layers = [
            {
                "cycle": cycle,
                "seed": self._seed,
                "step": step,
                "layer": layer,
                "size": size,
                "kept": kept,
                "density": kept / size,
            }
            for layer, (size, kept) in counts.items()
        ]
        self._results.add_cycle(row, layers)
        self._progress.cycle(row)

    def _density(self, state: TrainState) -> float:
        counts = layer_counts(state.masks).values()
        return sum(kept for _, kept in counts) / sum(size for size, _ in counts)


def _write_schedule(experiment: Experiment, workdir: Path) -> None:
    """Writes the planned learning rate at every step, or at equally spaced ones and cycles' starts.

    What a fork has taken over stays.
    """
    per_cycle = experiment.lengths.steps_per_cycle
    first = forked_cycles(workdir) * per_cycle
    stride = max(1, experiment.num_steps // _SCHEDULE_ROWS)
    grid = {*range(0, experiment.num_steps, stride), *range(0, experiment.num_steps, per_cycle)}
    steps = sorted(step for step in grid if step >= first)
    schedule = cycle_schedule(experiment.recipe.shape, experiment.peaks, per_cycle)
    lrs = np.asarray(schedule(np.array(steps))).tolist()
    write_schedule(workdir / "schedule.csv", steps, lrs, keep_below=first)
