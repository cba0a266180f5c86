"""The loop over seeds, cycles and epochs: train, evaluate, prune, checkpoint, rewind."""

import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from silo_jax.checkpoint import Checkpoints
from silo_jax.pruning import layer_counts
from silo_jax.rewinding import finetune, reinit, rewind_lr, rewind_weights
from silo_jax.schedules import cycle_schedule
from silo_jax.training.config import rewind_policies
from silo_jax.training.experiment import Experiment
from silo_jax.training.interrupts import Stopped, StopRequest
from silo_jax.training.progress import RunProgress
from silo_jax.training.results import (
    Divergence,
    Results,
    environment,
    write_json,
    write_schedule,
)
from silo_jax.training.state import Sums, TrainState, init_network
from silo_jax.training.step import all_finite, evaluate, learning_rate, train_epoch

_SCHEDULE_ROWS = 4000
_SECONDS_BETWEEN_LOOKS = 1.0  # for a request to stop
_EPOCH_ONLY = ("epoch", "lr", "images_per_second")


def run_seeds(
    experiment: Experiment, workdir: Path, console: Console, stop: StopRequest | None = None
) -> list[Divergence]:
    """Runs every seed to its end, each from its newest checkpoint if it has one.

    The train program is compiled once, for all epochs, cycles and seeds.

    Args:
      experiment: from `silo_jax.training.run.prepared`.
      workdir: directory of the run.
      console: where progress is shown.
      stop: looked at about once a second while training.

    Returns:
      The seeds whose loss was not finite any more, of this session and of earlier ones.

    Raises:
      Stopped: it was asked to stop; the state is saved.
      OSError: a file cannot be written; what was written before is intact.
    """
    stop = stop or StopRequest()
    seeds, results = experiment.config.seeds, Results(workdir)
    _write_schedule(experiment, workdir)
    epochs_per_seed = experiment.num_cycles * experiment.epochs_per_cycle
    progress = RunProgress(
        console, total_epochs=len(seeds) * epochs_per_seed, num_cycles=experiment.num_cycles
    )
    programs = None
    with progress:
        for seed in seeds:
            checkpoints = Checkpoints(
                (workdir / "checkpoints" / f"seed_{seed}").absolute(),
                steps_per_cycle=experiment.lengths.steps_per_cycle,
                keep=experiment.config.checkpoints.keep,
            )
            with closing(checkpoints):
                if checkpoints.latest_step() == experiment.num_steps or results.diverged(seed):
                    progress.skip(epochs_per_seed)
                    continue
                if programs is None:
                    write_json(workdir / "environment.json", environment())
                    programs = Programs(experiment, stop)
                SeedRun(experiment, programs, seed, checkpoints, results, progress).run()
    return [divergence for seed in seeds if (divergence := results.diverged(seed))]


class Programs:
    """The programs of an experiment.

    Those of an epoch are compiled ahead, so that no epoch's time has it in; a call that would need
    another program is an error.
    """

    def __init__(self, experiment: Experiment, stop: StopRequest) -> None:
        self._stop, self._steps_per_second = stop, 1.0
        recipe, state = experiment.recipe, experiment.create_state(experiment.config.seeds[0])
        train = jax.jit(train_epoch, static_argnums=0, donate_argnums=1)
        score = jax.jit(evaluate, static_argnums=(0, 1))
        batch_size, step = experiment.config.training.eval_batch_size, jnp.zeros((), jnp.int32)
        self._train = train.lower(recipe, state, experiment.train, step).compile()
        self._train_data = experiment.train
        self._score, self._data = {}, {"val": experiment.validation, "test": experiment.test}
        for split, data in self._data.items():
            self._score[split] = score.lower(recipe, batch_size, state, data).compile()
        self._is_finite = jax.jit(all_finite)
        self.learning_rate = jax.jit(partial(learning_rate, recipe))
        rewind = experiment.config.rewind
        kept: Any = {"optimizer": recipe.optimizer, "reset_optimizer": rewind.optimizer}
        back = kept | {"rewind_batch_stats": rewind.batch_stats}
        init = partial(init_network, recipe.model, experiment.image_shape)
        self.rewind_weights = jax.jit(partial(rewind_weights, **back))
        self.rewind_lr = jax.jit(partial(rewind_lr, **kept))
        self.finetune = jax.jit(partial(finetune, steps_per_cycle=recipe.steps_per_cycle, **kept))
        self.reinit = jax.jit(partial(reinit, init=init, **back))

    def train(self, state: TrainState, stop: int) -> tuple[TrainState, Sums]:
        """Trains to the end of the epoch or to ``stop``; the state handed in is used up.

        It comes back sooner when the loss is not finite or the process is asked to stop, which it
        looks for about once a second.
        """
        step, sums = int(state.step), state.sums
        while step < stop and self._stop.signum is None:
            steps_between_looks = round(self._steps_per_second * _SECONDS_BETWEEN_LOOKS)
            until = min(stop, step + max(1, steps_between_looks))
            started = time.perf_counter()
            state, sums = self._train(state, self._train_data, jnp.asarray(until, jnp.int32))
            reached = int(state.step)
            self._steps_per_second = (reached - step) / (time.perf_counter() - started)
            step = reached
            if step < until or not np.isfinite(sums.loss):
                break
        return state, sums

    def is_finite(self, state: TrainState) -> bool:
        """Whether the loss of the epoch so far, the weights and the statistics are finite."""
        return bool(self._is_finite(state))

    def stop_if_asked(self) -> None:
        """Raises Stopped if the process was asked to stop."""
        if self._stop.signum is not None:
            raise Stopped(self._stop.signum)

    def evaluate(self, state: TrainState, split: str) -> dict[str, float]:
        """Mean loss and accuracy in per cent on "val" or "test"."""
        return _means(split, self._score[split](state, self._data[split]))


class SeedRun:
    """One seed of an experiment, from its newest checkpoint to the end of the last cycle."""

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

    def run(self) -> None:
        state = self._resume()
        while (step := int(state.step)) < self._experiment.num_steps:
            if step and step % self._experiment.lengths.steps_per_cycle == 0:
                state = self._next_cycle(state)
            started = time.perf_counter()
            cycle, epoch, end = self._experiment.position(step)
            state, sums = self._train_to(state, end)
            if not self._programs.is_finite(state):
                self._results.add_divergence(self._divergence(state))
                return
            if int(state.step) == end:
                self._finish_epoch(state, sums, cycle, epoch, time.perf_counter() - started)
            if int(state.step) > step:
                self._checkpoints.save(state)
            self._programs.stop_if_asked()

    def _resume(self) -> TrainState:
        experiment = self._experiment
        state = experiment.create_state(self._seed)
        if self._checkpoints.latest_step() is not None:
            state = self._checkpoints.restore(state)
        step = int(state.step)
        cycle, epoch, _ = experiment.position(step)
        self._progress.skip(cycle * experiment.epochs_per_cycle + epoch)
        self._results.drop_after(self._seed, step)
        return state

    def _next_cycle(self, state: TrainState) -> TrainState:
        cycle = self._experiment.position(int(state.step))[0]
        match rewind_policies(self._experiment.config)[cycle - 1]:
            case "weights":
                point = self._checkpoints.restore_rewind_point(state)
                return self._programs.rewind_weights(state, point)
            case "lr":
                return self._programs.rewind_lr(state)
            case "finetune":
                return self._programs.finetune(state, self._last_lr(state))
            case _:
                return self._programs.reinit(state)

    def _finish_epoch(
        self, state: TrainState, sums: Sums, cycle: int, epoch: int, train_seconds: float
    ) -> None:
        """Evaluates after an epoch; the last one of a cycle adds the cycle's row."""
        started, step = time.perf_counter(), int(state.step)
        row = {
            "seed": self._seed,
            "cycle": cycle,
            "epoch": epoch + 1,
            "step": step,
            "density": self._density(state),
            "lr": self._last_lr(state),
            **_means("train", sums),
            **self._programs.evaluate(state, "val"),
            "images_per_second": round(int(sums.examples) / train_seconds),
        }
        row["seconds"] = round(train_seconds + time.perf_counter() - started, 4)
        self._results.add_epoch(row)
        self._progress.epoch(row)
        if step % self._experiment.lengths.steps_per_cycle == 0:
            self._finish_cycle(state, row)

    def _last_lr(self, state: TrainState) -> float:
        return float(self._programs.learning_rate(state.replace(step=state.step - 1)))

    def _divergence(self, state: TrainState) -> Divergence:
        """The step, counted from 1, whose loss was not finite, and what went before it."""
        step = int(state.step)
        return Divergence(
            seed=self._seed,
            cycle=self._experiment.position(step - 1)[0],
            step=step,
            lr=self._last_lr(state),
            last_finite_loss=float(state.last_loss),
            last_sound_step=self._checkpoints.latest_step() or 0,
        )

    def _train_to(self, state: TrainState, end: int) -> tuple[TrainState, Sums]:
        """Trains to the end of the epoch, with a stop at the rewind point if it lies on the way."""
        point, step = self._experiment.lengths.rewind_step, int(state.step)
        policies = rewind_policies(self._experiment.config)
        if "weights" not in policies or not step <= point < end:
            return self._programs.train(state, end)
        state, sums = self._programs.train(state, point)
        if int(state.step) < point or not self._programs.is_finite(state):
            return state, sums
        self._checkpoints.save_rewind_point(state)
        return self._programs.train(state, end)

    def _finish_cycle(self, state: TrainState, last_epoch: dict[str, Any]) -> None:
        cycle, step = last_epoch["cycle"], last_epoch["step"]
        counts = layer_counts(state.masks)
        row = {
            **{key: value for key, value in last_epoch.items() if key not in _EPOCH_ONLY},
            "weights_left": sum(kept for _, kept in counts.values()),
            "max_lr": float(state.peaks[cycle]),
            **self._programs.evaluate(state, "test"),
            "seconds": round(self._results.seconds_of_cycle(self._seed, cycle), 3),
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


def _means(prefix: str, sums: Sums) -> dict[str, float]:
    count = int(sums.examples)
    return {
        f"{prefix}_loss": round(float(sums.loss) / count, 6),
        f"{prefix}_accuracy": round(100 * int(sums.correct) / count, 4),
    }


def _write_schedule(experiment: Experiment, workdir: Path) -> None:
    """Writes the learning rate at every step, or at equally spaced ones and the cycles' starts."""
    per_cycle = experiment.lengths.steps_per_cycle
    stride = max(1, experiment.num_steps // _SCHEDULE_ROWS)
    steps = sorted(
        {*range(0, experiment.num_steps, stride), *range(0, experiment.num_steps, per_cycle)}
    )
    schedule = cycle_schedule(experiment.recipe.shape, experiment.peaks, per_cycle)
    write_schedule(workdir / "schedule.csv", steps, np.asarray(schedule(np.array(steps))).tolist())
