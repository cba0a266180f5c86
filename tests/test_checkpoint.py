"""Checkpoints give back what was saved, bit for bit, and keep what they say."""

from contextlib import closing
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax.checkpoint import Checkpoints
from silo_jax.rewinding import RewindPoint
from silo_jax.training.step import train_epoch
from tests.refusals import refused
from tests.tiny import (
    STEPS_PER_CYCLE,
    WithStatistics,
    assert_identical,
    tiny_data,
    tiny_recipe,
    tiny_state,
)

RECIPE = tiny_recipe("adamw", model=WithStatistics())


def on_host(state):
    """A copy that no later step can touch."""
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)


def steps_in(directory):
    return sorted(int(path.name) for path in directory.iterdir())


def test_states_come_back_bit_for_bit_although_their_buffers_are_donated(tmp_path):
    """Saving goes on in the background while the next epoch overwrites the state in place."""
    epoch = jax.jit(partial(train_epoch, RECIPE), donate_argnums=0)
    state, saved = tiny_state(RECIPE), {}
    with closing(Checkpoints(tmp_path, steps_per_cycle=1)) as checkpoints:
        for _ in range(6):
            state, _ = epoch(state, tiny_data(), 10**6)
            saved[int(state.step)] = on_host(state)
            checkpoints.save(state)
    with closing(Checkpoints(tmp_path, steps_per_cycle=1)) as checkpoints:
        assert checkpoints.latest_step() == max(saved)
        for step, want in saved.items():
            assert_identical(checkpoints.restore(tiny_state(RECIPE), step), want)


@pytest.mark.parametrize(
    ("keep", "kept"), [(1, [6, 12, 17]), (2, [6, 12, 17]), (3, [6, 11, 12, 17])]
)
def test_the_newest_states_and_the_end_of_every_cycle_are_kept(tmp_path, keep, kept):
    state = tiny_state(RECIPE)
    checkpoints = Checkpoints(tmp_path, steps_per_cycle=STEPS_PER_CYCLE, keep=keep)
    with closing(checkpoints):
        checkpoints.save_rewind_point(state)
        for step in (5, 6, 11, 12, 17):
            checkpoints.save(state.replace(step=jnp.int32(step)))
    assert steps_in(tmp_path / "states") == kept
    assert steps_in(tmp_path / "rewind") == [0]


def test_at_least_one_state_is_kept(tmp_path):
    with refused("keep", 0, "an integer of at least 1"):
        Checkpoints(tmp_path / "new", steps_per_cycle=STEPS_PER_CYCLE, keep=0)
    assert not (tmp_path / "new").exists()


def test_the_rewind_point_comes_back_and_a_second_one_does_not_replace_it(tmp_path):
    state, other = tiny_state(RECIPE), tiny_state(RECIPE, seed=1)
    with closing(Checkpoints(tmp_path, steps_per_cycle=STEPS_PER_CYCLE)) as checkpoints:
        checkpoints.save_rewind_point(state)
        checkpoints.save_rewind_point(other)
        point = checkpoints.restore_rewind_point(other)
    assert_identical(point, RewindPoint(state.params, state.batch_stats))


def test_of_several_processes_one_drops_what_is_past_an_epoch(tmp_path, monkeypatch):
    state, sizes = tiny_state(RECIPE), {"steps_per_cycle": 12, "steps_per_epoch": 6}
    with closing(Checkpoints(tmp_path, keep=3, **sizes)) as checkpoints:
        for step in (6, 8):
            checkpoints.save(state.replace(step=jnp.int32(step)))
        checkpoints.save_rewind_point(state.replace(step=jnp.int32(7)))
    with (
        closing(Checkpoints(tmp_path, keep=3, **sizes)) as first,
        closing(Checkpoints(tmp_path, keep=3, **sizes)) as other,
        monkeypatch.context() as patch,
    ):
        patch.setattr("silo_jax.checkpoint.is_primary", lambda: False)
        other.drop_after_epoch()
        assert steps_in(tmp_path / "states") == [6, 8], "the primary one's work"
        patch.undo()
        first.drop_after_epoch()
        patch.setattr("silo_jax.checkpoint.is_primary", lambda: False)
        other.drop_after_epoch()  # it still knows of step 8
        for checkpoints in (first, other):
            assert checkpoints.latest_step() == 6
            assert not checkpoints.has_rewind_point()


def test_a_new_directory_has_no_state_and_no_rewind_point(tmp_path):
    state = tiny_state(RECIPE)
    with closing(Checkpoints(tmp_path / "new", steps_per_cycle=3)) as checkpoints:
        assert checkpoints.latest_step() is None
        for restore in (checkpoints.restore, checkpoints.restore_rewind_point):
            with pytest.raises(FileNotFoundError, match=r"new/(states|rewind): no checkpoint"):
                restore(state)
