"""Run by test_replicas.py in an interpreter with 4 CPU devices: replicas that share them."""

import jax
import numpy as np
import pytest
from rich.console import Console

from silo_jax.training.cells import Cell, Work, cell_files
from silo_jax.training.experiment import load_experiment
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.launch import Local
from silo_jax.training.progress import CellsProgress
from silo_jax.training.replicas import default_strategy, stack
from tests.compilations import compilations
from tests.replicated import (
    HUGE,
    recipe_of,
    replicas_of,
    start,
    train_alone,
    train_together,
)
from tests.tiny import assert_identical, tiny_config


def test_there_are_four_devices():
    assert jax.device_count() == 4
    assert default_strategy() == "shard"


@pytest.mark.parametrize(("network", "each"), [("mlp", 2), ("convolutions", 1)])
def test_each_replica_is_as_alone_on_whatever_device(network, each):
    recipe = recipe_of(network)
    group = [(0, 0.1), (1, HUGE), (1, 0.2), (2, 0.05)] * each
    living = [True, True, True, False] * each
    states = [start(recipe, *one) for one in group]
    with compilations() as compiled:
        epochs = replicas_of(recipe, states, "shard")
        trained = train_together(recipe, epochs, states, living)
    assert compiled.count("_on_all_devices") == 2  # one trains, one evaluates
    for one, found, lives in zip(group, trained, living, strict=True):
        if lives and one[1] != HUGE:
            assert_identical(found, train_alone(network, *one))


def test_a_single_replica_is_on_one_device():
    recipe, states = recipe_of("mlp"), [start(recipe_of("mlp"), 1, 0.2)]
    epochs = replicas_of(recipe, states, "shard")
    state, _ = epochs.train(stack(states), np.array([3]))
    assert len(state.step.sharding.device_set) == 1


def test_cells_are_the_same_on_whatever_device(tmp_path):
    """Three cells, so that one device has nothing to do."""
    experiment = load_experiment(tiny_config(rewind__epoch=1), split_batches=False)
    peaks = tuple(experiment.peaks)
    cells = tuple(Cell(f"seed_{seed}", seed, peaks, 0, len(peaks)) for seed in (0, 1, 2))
    work, rows = Work("work", cells, {}), {}
    for strategy, at_once in (("shard", 4), ("map", 1)):
        directory = tmp_path / strategy
        launcher = Local(
            experiment,
            directory,
            strategy=strategy,
            at_once=at_once,
            stop=StopRequest(),
            progress=CellsProgress(Console(quiet=True)),
        )
        launcher.run([work])
        found = (row for cell in cells for row in cell_files(directory, work, cell).rows())
        rows[strategy] = [{k: v for k, v in row.items() if k != "seconds"} for row in found]
    assert len(rows["map"]) == 2 * len(cells)
    assert rows["shard"] == rows["map"]
