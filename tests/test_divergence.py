"""Losses that are not finite any more: told where, what was reached is kept, others go on."""

import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from silo_jax import cycle_schedule
from silo_jax.checkpoint import Checkpoints
from silo_jax.training import in_memory, loop
from silo_jax.training.experiment import Experiment, load_experiment
from silo_jax.training.interrupts import Stopped
from silo_jax.training.results import Results
from silo_jax.training.run import prepared
from silo_jax.training.step import train_epoch, train_step
from tests.run_files import StopAfter, final_states, rows_of, without_times
from tests.tiny import (
    assert_identical,
    run_quietly,
    tiny_config,
    tiny_data,
    tiny_recipe,
    tiny_state,
)


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
    told = Results(tmp_path).given_up(0)
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
    told = Results(tmp_path).given_up(0)
    assert (told.cycle, told.step, told.last_sound_step) == (0, 1, 0)
    assert math.isfinite(told.last_finite_loss)


def retrying(peaks, factor=1e-26, **fields):
    return tiny_config(
        pruning__num_cycles=len(peaks),
        schedule__name="list",
        schedule__peaks=peaks,
        schedule__shape="constant",
        training__divergence_retries=1,
        training__divergence_factor=factor,
        **fields,
    )


def lowered(workdir) -> float:
    """max_lr with which the only cycle that diverged went on."""
    (told,) = rows_of(workdir / "diverged.csv")
    return float(np.float32(told["next_max_lr"]))


@pytest.mark.parametrize("policy", ["weights", "finetune"])
def test_a_cycle_goes_back_and_on_as_if_max_lr_had_been_lower(tmp_path, policy):
    config = retrying((0.1, 1e25, 0.1), rewind__policy=policy)
    if policy == "finetune":  # its peak is the last learning rate of the cycle before
        config.schedule.peaks = (1e25, 0.1, 0.1)
    run_quietly(config, tmp_path / "diverged")
    (told,) = Results(tmp_path / "diverged").divergences(0)
    cycle = config.schedule.peaks.index(1e25)
    assert (told.cycle, told.ended, told.max_lr) == (cycle, False, np.float32(1e25))
    assert told.next_max_lr == pytest.approx(0.1)

    peaks = list(config.schedule.peaks)
    peaks[cycle] = lowered(tmp_path / "diverged")
    calm = retrying(tuple(peaks), rewind__policy=policy)
    run_quietly(calm, tmp_path / "calm")
    assert_same_but_config(tmp_path, calm)


def assert_same_but_config(folder, calm) -> None:
    diverged, straight = folder / "diverged", folder / "calm"
    assert without_times(diverged)["tables"] == without_times(straight)["tables"]
    for one, other in zip(final_states(diverged, calm), final_states(straight, calm), strict=True):
        assert_identical(one.replace(peaks=0), other.replace(peaks=0))


def test_a_finetuned_cycle_that_diverges_goes_on_at_a_lower_lr(tmp_path, monkeypatch):
    monkeypatch.setattr(Results, "last_lr", lambda *_: 1e25)
    run_quietly(retrying((0.1, 0.1), rewind__policy="finetune"), tmp_path)
    (told,) = Results(tmp_path).divergences(0)
    (_, row) = rows_of(tmp_path / "cycles.csv")
    assert (told.cycle, float(row["max_lr"])) == (1, pytest.approx(0.1))


def test_a_rewind_point_that_lies_in_what_is_taken_back_is_taken_anew(tmp_path):
    fields = {"training__epochs_per_cycle": 0, "training__steps_per_cycle": 30, "rewind__step": 1}
    run_quietly(retrying((1e15, 0.1), 1e-16, **fields), tmp_path / "diverged")
    calm = retrying((lowered(tmp_path / "diverged"), 0.1), **fields)
    run_quietly(calm, tmp_path / "calm")
    assert_same_but_config(tmp_path, calm)


def test_a_run_that_is_stopped_before_it_diverges_goes_back_as_far(tmp_path, monkeypatch):
    """The states that the stops leave in the middle of the epoch are not what it goes back to."""
    config = retrying((0.1, 1e10), 1e-11, checkpoints__keep=1)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    run_quietly(config, straight)
    (told,) = Results(straight).divergences(0)
    assert told.step > told.last_sound_step + 2
    monkeypatch.setattr(in_memory, "_SECONDS_BETWEEN_LOOKS", 0.0)
    epochs_before = config.training.epochs_per_cycle
    # One at the start, one a step, one an epoch.
    for num_looks in (told.last_sound_step + epochs_before + 2, 2):
        with prepared(config, stopped) as experiment, pytest.raises(Stopped):
            loop.run_seeds(experiment, stopped, Console(quiet=True), StopAfter(num_looks))
    steps = {int(p.name) for p in (stopped / "checkpoints/seed_0/states").glob("[0-9]*")}
    assert steps == {told.last_sound_step, told.last_sound_step + 2}
    monkeypatch.undo()
    run_quietly(config, stopped)
    assert rows_of(stopped / "diverged.csv") == rows_of(straight / "diverged.csv")
    assert without_times(stopped) == without_times(straight)
    assert_identical(final_states(stopped, config), final_states(straight, config))


def test_a_seed_is_given_up_after_its_retries(tmp_path):
    config = tiny_config(
        schedule__name="constant",
        schedule__upper=1e30,
        training__divergence_retries=2,
        training__divergence_factor=0.1,
    )
    run_quietly(config, tmp_path)
    told = Results(tmp_path).divergences(0)
    assert [one.max_lr for one in told] == pytest.approx([1e30, 1e29, 1e28], rel=1e-5)
    assert [one.ended for one in told] == [False, False, True]
    given_up = Results(tmp_path).given_up(0)
    assert (given_up.step, given_up.max_lr) == (told[-1].step, told[-1].max_lr)


def test_a_run_that_falls_back_past_a_roll_back_meets_it_again(tmp_path):
    """The newest states are damaged, and an older one is from before the divergence."""
    config = retrying((0.1, 1e10), 1e-11, training__epochs_per_cycle=3, checkpoints__keep=9)
    run_quietly(config, tmp_path / "straight")
    (told,) = Results(tmp_path / "straight").divergences(0)
    fallen = tmp_path / "fallen"
    shutil.copytree(tmp_path / "straight", fallen)
    states = sorted(
        (fallen / "checkpoints/seed_0/states").glob("[0-9]*"), key=lambda p: int(p.name)
    )
    newer = [path for path in states if int(path.name) >= told.last_sound_step]
    assert 0 < len(newer) < len(states)
    for path in newer:
        (path / "state/checksums.json").write_text("null")
    with pytest.warns(UserWarning, match="checksums.json is damaged"):
        run_quietly(config, fallen)
    assert rows_of(fallen / "diverged.csv") == rows_of(tmp_path / "straight/diverged.csv")
    assert without_times(fallen) == without_times(tmp_path / "straight")


def test_a_stop_where_only_the_weights_are_not_finite_changes_nothing(tmp_path, monkeypatch):
    config = retrying((1e38, 0.1), 1e-39, training__weight_decay=1e30, schedule__lower=0.0)
    run_quietly(config, tmp_path / "straight")
    monkeypatch.setattr(in_memory, "_SECONDS_BETWEEN_LOOKS", 0.0)
    stopped = tmp_path / "stopped"
    with prepared(config, stopped) as experiment, pytest.raises(Stopped):
        loop.run_seeds(experiment, stopped, Console(quiet=True), StopAfter(2))
    (state,) = (stopped / "checkpoints/seed_0/states").glob("[0-9]*")
    assert state.name == "1"
    run_quietly(config, stopped)
    assert rows_of(stopped / "diverged.csv") == rows_of(tmp_path / "straight/diverged.csv")
    assert without_times(stopped) == without_times(tmp_path / "straight")
