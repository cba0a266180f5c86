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
from silo_jax.rewinding import rewind_lr, rewind_weights
from silo_jax.schedules import cycle_schedule
from silo_jax.training.config import make_peaks
from silo_jax.training.experiment import Experiment
from silo_jax.training.progress import RunProgress
from silo_jax.training.results import Results, environment, write_json, write_schedule
from silo_jax.training.state import TrainState
from silo_jax.training.step import Sums, evaluate, learning_rate, train_epoch

_SCHEDULE_ROWS = 4000
_EPOCH_ONLY = ("epoch", "lr", "images_per_second")


def run_seeds(experiment: Experiment, workdir: Path, console: Console) -> None:
    """Runs every seed to its end, each from its newest checkpoint if it has one.

    The train program is compiled once, for all epochs, cycles and seeds.
    """
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
            )
            with closing(checkpoints):
                if checkpoints.latest_step() == experiment.num_steps:
                    progress.skip(epochs_per_seed)
                    continue
                if programs is None:
                    write_json(workdir / "environment.json", environment())
                    programs = Programs(experiment)
                SeedRun(experiment, programs, seed, checkpoints, results, progress).run()


class Programs:
    """The programs of an experiment.

    Those of an epoch are compiled ahead, so that no epoch's time has it in; a call that would need
    another program is an error.
    """

    def __init__(self, experiment: Experiment) -> None:
        recipe, state = experiment.recipe, experiment.create_state(experiment.config.seeds[0])
        train = jax.jit(train_epoch, static_argnums=0, donate_argnums=1)
        score = jax.jit(evaluate, static_argnums=(0, 1))
        batch_size, stop = experiment.config.training.eval_batch_size, jnp.zeros((), jnp.int32)
        self._train = train.lower(recipe, state, experiment.train, stop).compile()
        self._train_data = experiment.train
        self._score, self._data = {}, {"val": experiment.validation, "test": experiment.test}
        for split, data in self._data.items():
            self._score[split] = score.lower(recipe, batch_size, state, data).compile()
        self.learning_rate = jax.jit(partial(learning_rate, recipe))
        self.rewind_weights = jax.jit(partial(rewind_weights, optimizer=recipe.optimizer))
        self.rewind_lr = jax.jit(partial(rewind_lr, optimizer=recipe.optimizer))

    def train(self, state: TrainState, stop: int) -> tuple[TrainState, Sums]:
        """Trains to the end of the epoch or to ``stop``; the state handed in is used up."""
        return self._train(state, self._train_data, jnp.asarray(stop, jnp.int32))

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
            state = self._epoch(state)
            self._checkpoints.save(state)

    def _resume(self) -> TrainState:
        experiment = self._experiment
        state = experiment.create_state(self._seed)
        step = self._checkpoints.latest_step()
        if step is not None:
            state = self._checkpoints.restore(state)
        cycle, epoch, _ = experiment.position(step or 0)
        self._progress.skip(cycle * experiment.epochs_per_cycle + epoch)
        self._results.drop_after(self._seed, step or 0)
        return state

    def _next_cycle(self, state: TrainState) -> TrainState:
        if self._experiment.config.rewind.policy == "lr":
            return self._programs.rewind_lr(state)
        point = self._checkpoints.restore_rewind_point(state)
        return self._programs.rewind_weights(state, point)

    def _epoch(self, state: TrainState) -> TrainState:
        """Trains an epoch and evaluates it; the last one of a cycle adds the cycle's row."""
        started = time.perf_counter()
        cycle, epoch, end = self._experiment.position(int(state.step))
        state, train_sums = self._train_to(state, end)
        num_images = int(train_sums.examples)
        trained = time.perf_counter()
        row = {
            "seed": self._seed,
            "cycle": cycle,
            "epoch": epoch + 1,
            "step": end,
            "density": self._density(state),
            "lr": float(self._programs.learning_rate(state.replace(step=state.step - 1))),
            **_means("train", train_sums),
            **self._programs.evaluate(state, "val"),
            "images_per_second": round(num_images / (trained - started)),
        }
        row["seconds"] = round(time.perf_counter() - started, 4)
        self._results.add_epoch(row)
        self._progress.epoch(row)
        if end % self._experiment.lengths.steps_per_cycle == 0:
            self._finish_cycle(state, row)
        return state

    def _train_to(self, state: TrainState, end: int) -> tuple[TrainState, Sums]:
        """Trains to the end of the epoch, with a stop at the rewind point if it lies on the way."""
        point, step = self._experiment.lengths.rewind_step, int(state.step)
        if self._experiment.config.rewind.policy != "weights" or not step <= point < end:
            return self._programs.train(state, end)
        before = None
        if step < point:
            state, before = self._programs.train(state, point)
        self._checkpoints.save_rewind_point(state)
        state, after = self._programs.train(state, end)
        return state, jax.tree.map(jnp.add, before, after) if before else after

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
    schedule = cycle_schedule(experiment.recipe.shape, make_peaks(experiment.config), per_cycle)
    write_schedule(workdir / "schedule.csv", steps, np.asarray(schedule(np.array(steps))).tolist())
