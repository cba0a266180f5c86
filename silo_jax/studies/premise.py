"""SILO's premise, measured: how wide gradients and hidden representations are, cycle after cycle.

The networks are those of an ordinary run, in ``run/`` below the study's directory. From the states
at the ends of its cycles, each chosen cycle is started once more and trained to the end of its
warm-up, which is the same bit for bit; what `silo_jax.diagnostics` finds there goes into
``widths.csv``, ``histograms.csv``, ``layer_histograms.csv`` and ``cycles.csv``.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optax
from ml_collections import ConfigDict
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from silo_jax.checkpoint import Checkpoints
from silo_jax.checks import require_int
from silo_jax.diagnostics import histogram, living_gradients, representations, spread
from silo_jax.studies.premise_files import NETWORK, PremiseFiles, Row, cycles_of_run
from silo_jax.training.config import check_config
from silo_jax.training.environment import write_environment
from silo_jax.training.experiment import DeviceData, Experiment
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.loop import run_seeds
from silo_jax.training.programs import Programs
from silo_jax.training.results import Divergence
from silo_jax.training.run import checked_experiment
from silo_jax.training.state import TrainState
from silo_jax.training.step import DeviceSplit, Recipe
from silo_jax.training.study import hold_study
from silo_jax.training.workdir import checkpoints_of, hold_workdir

_MANY_CYCLES, _CYCLES_OF_MANY = 10, 8


class Premise(NamedTuple):
    """What is measured, in a directory that is held for it.

    Attributes:
      experiment: whose networks.
      directory: of the study.
      cycles: ascending.
      num_images: of the training set, the first ones, without augmentation.
    """

    experiment: Experiment
    directory: Path
    cycles: tuple[int, ...]
    num_images: int


@contextmanager
def prepared_premise(
    config: ConfigDict,
    directory: str | Path,
    *,
    cycles: Sequence[int] = (),
    num_images: int = 512,
) -> Iterator[Premise]:
    """Checks config and directory, reads the data, and holds the directory for this process.

    Args:
      config: see ``silo_jax/base_config.py``.
      directory: of the study.
      cycles: the cycles to measure; by default `spaced_cycles`.
      num_images: how many images to measure on; all, if the training set has fewer.

    Raises:
      ValueError: a field of the config, an argument or the directory is not as it has to be; one
        line. Nothing has been written then.
    """
    check_config(config)
    _check(config, cycles, num_images)
    experiment = checked_experiment(config)
    premise = Premise(
        experiment,
        Path(directory),
        tuple(sorted(set(cycles))) or spaced_cycles(config.pruning.num_cycles),
        min(num_images, len(_training_images(experiment).labels)),
    )
    study = {"kind": "premise", "cycles": premise.cycles, "num_images": premise.num_images}
    with (
        hold_study(premise.directory, config, study, fixed=("kind", "num_images")),
        hold_workdir(premise.directory / "run", config),
    ):
        yield premise


def spaced_cycles(num_cycles: int) -> tuple[int, ...]:
    """All cycles up to ten; of more, eight about equally spaced, with the first and the last.

    Example:
      >>> spaced_cycles(18)
      (0, 2, 5, 7, 10, 12, 15, 17)
    """
    if num_cycles <= _MANY_CYCLES:
        return tuple(range(num_cycles))
    return tuple(int(c) for c in np.linspace(0, num_cycles - 1, _CYCLES_OF_MANY).round())


def warm_up_end(shape: optax.Schedule, steps_per_cycle: int) -> int | None:
    """The step of a cycle at which its shape first is at its maximum, if it is not the first one.

    Example:
      >>> from silo_jax import shapes
      >>> warm_up_end(shapes.triangular(10), 10), warm_up_end(shapes.linear_decay(10), 10)
      (5, None)
    """
    return int(np.argmax(shape(np.arange(steps_per_cycle)))) or None


def measure_premise(
    premise: Premise, console: Console, stop: StopRequest | None = None
) -> list[Divergence]:
    """Trains every seed up to the last chosen cycle, and measures the chosen ones.

    Each cycle is measured at its initialisation, after the rewinding; at the end of its warm-up,
    where it has one; and at its end, under the masks with which it was trained. Stopped and called
    again it goes on, and results are the same bit for bit.

    Args:
      premise: from `prepared_premise`.
      console: where progress is shown.
      stop: looked at about once a second while training.

    Returns:
      Where seeds were given up, as their loss was not finite. The cycles before are measured.

    Raises:
      Stopped: it was asked to stop; what was measured is kept.
      OSError: a file cannot be read or written, or is damaged; one line.
    """
    stop, experiment = stop or StopRequest(), premise.experiment
    run = premise.directory / "run"
    given_up = run_seeds(experiment, run, console, stop, num_cycles=premise.cycles[-1] + 1)
    trained, files = cycles_of_run(run), PremiseFiles(premise.directory)
    chosen = [(seed, cycle) for seed in experiment.config.seeds for cycle in premise.cycles]
    measured = files.drop_unfinished()
    left = [key for key in chosen if key in trained and key not in measured]
    if not left:
        return given_up
    write_environment(premise.directory)
    with ExitStack() as stack:
        shown = stack.enter_context(Progress(console=console, disable=not console.is_terminal))
        task = shown.add_task("measuring cycles", total=len(left))
        programs = stop.interruptibly(partial(Programs, experiment, stop))
        stack.enter_context(closing(programs))
        for seed, cycle in left:
            with closing(checkpoints_of(run, experiment, seed)) as checkpoints:
                moments = _moments(experiment, programs, checkpoints, seed, cycle)
                files.add(*_measured(premise, programs, moments, trained[seed, cycle]))
            shown.advance(task)
            if not console.is_terminal:
                console.print(f"seed {seed}  cycle {cycle}  measured", highlight=False)
            stop.raise_if_asked()
    return given_up


def _check(config: ConfigDict, cycles: Sequence[int], num_images: int) -> None:
    if config.data.image_size:
        raise ValueError(
            f"data.image_size: {config.data.image_size}; allowed: 0, as images in memory are "
            "measured on"
        )
    retries = config.training.divergence_retries
    if retries:
        raise ValueError(
            f"training.divergence_retries: {retries}; allowed: 0, so that a cycle has one max_lr"
        )
    require_int("num_images", num_images, minimum=1)
    for cycle in cycles:
        if not 0 <= cycle < config.pruning.num_cycles:
            raise ValueError(f"cycles: {cycle}; allowed: from 0 to {config.pruning.num_cycles - 1}")


def _training_images(experiment: Experiment) -> DeviceSplit:
    assert isinstance(experiment.data, DeviceData), "_check refuses streamed data"
    return experiment.data.train


def _moments(
    experiment: Experiment, programs: Programs, checkpoints: Checkpoints, seed: int, cycle: int
) -> Iterator[tuple[str, TrainState]]:
    """The states of a cycle; each is used up when the next one is asked for."""
    steps, shape = experiment.lengths.steps_per_cycle, experiment.recipe.shape
    state = _initialised(experiment, programs, checkpoints, seed, cycle)
    yield "initialisation", state
    warm_up = warm_up_end(shape if callable(shape) else shape[cycle], steps)
    if warm_up is not None:
        yield "warmed_up", _train_to(experiment, programs, state, cycle * steps + warm_up)
    yield "end", checkpoints.restore(experiment.create_state(seed), (cycle + 1) * steps)


def _initialised(
    experiment: Experiment, programs: Programs, checkpoints: Checkpoints, seed: int, cycle: int
) -> TrainState:
    """The state before the first step of a cycle."""
    fresh = experiment.create_state(seed)
    if cycle == 0:
        return fresh
    before = checkpoints.restore(fresh, cycle * experiment.lengths.steps_per_cycle)
    is_rewound = programs.next_cycle.policy_after(before) == "weights"
    point = checkpoints.restore_rewind_point(fresh) if is_rewound else None
    return programs.next_cycle(before, point)


def _train_to(
    experiment: Experiment, programs: Programs, state: TrainState, end: int
) -> TrainState:
    while (step := int(state.step)) < end:
        state, sums = programs.train(state, min(end, experiment.position(step)[2]))
        programs.stop_if_asked()
        assert np.isfinite(sums.loss), "the run has come past here"
    return state


def _measured(
    premise: Premise,
    programs: Programs,
    moments: Iterable[tuple[str, TrainState]],
    trained: Row,
) -> tuple[Row, list[Row], list[Row]]:
    """The rows of a cycle, of its widths and of its histograms."""
    recipe, images = premise.experiment.recipe, _training_images(premise.experiment)
    batch = DeviceSplit(*(leaf[: premise.num_images] for leaf in images))
    cycle_row, widths, histograms = dict(trained), [], []
    for moment, state in moments:
        last_or_coming = state.replace(step=state.step - 1) if moment == "end" else state
        cycle_row[f"lr_{moment}"] = float(programs.learning_rate(last_or_coming))
        for quantity, layers in _quantities(recipe, state, batch).items():
            for layer, values in layers.items():
                row = trained | {"moment": moment, "quantity": quantity, "layer": layer}
                widths.append(row | _finite(spread(values)._asdict()))
                bins = zip(*histogram(values), strict=True)
                histograms += [row | {"left": a, "right": b, "count": n} for a, b, n in bins]
    return cycle_row, widths, histograms


def _quantities(
    recipe: Recipe, state: TrainState, batch: DeviceSplit
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """By quantity and layer, all values; those of all layers together as "network"."""
    units = representations(recipe, state, batch)
    quantities: dict[str, dict[str, NDArray[np.float32]]] = {
        "gradient": living_gradients(recipe, state, batch),
        "before": {layer: unit.before for layer, unit in units.items()},
        "after": {layer: unit.after for layer, unit in units.items()},
    }
    for layers in filter(None, quantities.values()):
        layers[NETWORK] = np.concatenate([values.reshape(-1) for values in layers.values()])
    return quantities


def _finite(row: Row) -> Row:
    """Without what is no number, whose field is left empty."""
    return {name: value for name, value in row.items() if np.isfinite(value)}
