"""Losses that are not finite any more: told where, what was reached is kept, others go on."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax import cycle_schedule
from silo_jax.checkpoint import Checkpoints
from silo_jax.training.experiment import Experiment, load_experiment
from silo_jax.training.results import Results
from silo_jax.training.step import train_epoch, train_step
from tests.run_files import rows_of
from tests.tiny import run_quietly, tiny_config, tiny_data, tiny_recipe, tiny_state


def test_no_step_is_taken_after_a_loss_that_is_not_finite():
    recipe, data = tiny_recipe(steps_per_cycle=100), tiny_data()
    state = tiny_state(recipe).replace(peaks=jnp.array([1e25]))
    reached, sums = jax.jit(train_epoch, static_argnums=0)(recipe, state, data, 100)
    assert not np.isfinite(sums.loss)
    assert 1 < int(reached.step) < 5
    finite = [loss for loss in losses_of(recipe, state, data) if np.isfinite(loss)]
    assert int(reached.step) == len(finite) + 1
    np.testing.assert_allclose(reached.last_loss, finite[-1], rtol=1e-5)


def losses_of(recipe, state, data):
    """The mean loss of each batch of the first epoch, step by step and whatever happens."""
    order_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 0), 0)
    order = jax.random.permutation(jax.random.fold_in(order_rng, 0), data.labels.size)
    for start in range(0, 20, 4):
        indices = order[start : start + 4]
        state, sums = train_step(recipe, state, type(data)(*(leaf[indices] for leaf in data)))
        yield float(sums.loss) / 4


def test_a_cycle_that_diverges_is_marked_and_what_was_reached_is_kept(tmp_path):
    peaks = (0.1, 1e25, 0.1)
    config = tiny_config(
        pruning__num_cycles=3, schedule__name="list", schedule__peaks=peaks, seeds=(0,)
    )
    run_quietly(config, tmp_path)
    experiment = load_experiment(config)
    per_cycle = experiment.lengths.steps_per_cycle
    told = Results(tmp_path).diverged(0)
    assert (told.seed, told.cycle, told.last_sound_step) == (0, 1, per_cycle)
    assert per_cycle < told.step < per_cycle + experiment.steps_per_epoch
    schedule = cycle_schedule(experiment.recipe.shape, peaks, per_cycle)
    assert told.lr == pytest.approx(float(schedule(told.step - 1)), rel=1e-6)
    assert math.isfinite(told.last_finite_loss)
    assert [row["cycle"] for row in rows_of(tmp_path / "cycles.csv")] == ["0"]
    checkpoints = Checkpoints(
        (tmp_path / "checkpoints/seed_0").absolute(), steps_per_cycle=per_cycle
    )
    kept = checkpoints.restore(experiment.create_state(0))
    checkpoints.close()
    assert int(kept.step) == per_cycle
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept.params))


def test_other_seeds_go_on_and_a_diverged_one_is_not_trained_again(tmp_path, monkeypatch):
    config, create_state = tiny_config(seeds=(0, 1)), Experiment.create_state

    def seed_0_with_a_huge_max_lr(experiment, seed):
        state = create_state(experiment, seed)
        return state.replace(peaks=1e26 * state.peaks) if seed == 0 else state

    monkeypatch.setattr(Experiment, "create_state", seed_0_with_a_huge_max_lr)
    run_quietly(config, tmp_path)
    assert [row["seed"] for row in rows_of(tmp_path / "cycles.csv")] == ["1", "1"]
    told = rows_of(tmp_path / "diverged.csv")
    assert [(row["seed"], row["cycle"]) for row in told] == [("0", "0")]
    run_quietly(config, tmp_path)
    assert rows_of(tmp_path / "diverged.csv") == told


def test_weights_that_are_not_finite_after_the_last_step_are_a_divergence(tmp_path):
    """One step a cycle: the loss before it is finite, the weights after it are not."""
    config = tiny_config(
        schedule__name="list",
        schedule__peaks=(3e38, 0.1),
        schedule__shape="constant",
        training__epochs_per_cycle=0,
        training__steps_per_cycle=1,
        training__weight_decay=1e30,
    )
    run_quietly(config, tmp_path)
    told = Results(tmp_path).diverged(0)
    assert (told.cycle, told.step, told.last_sound_step) == (0, 1, 0)
    assert math.isfinite(told.last_finite_loss)
