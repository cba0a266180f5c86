"""The schedule "gradient_matched": max_lr × width of the gradients stays what it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax.diagnostics import living_gradients
from silo_jax.rewinding import RewindPoint, reinit, rewind_lr, rewind_weights
from silo_jax.training.config import check_config
from silo_jax.training.experiment import load_experiment
from silo_jax.training.next_cycle import _gradient_matched
from silo_jax.training.state import init_network
from silo_jax.training.step import DeviceSplit
from tests.refusals import refused
from tests.run_files import final_states, rows_of
from tests.tiny import run_quietly, tiny_config, tiny_data, tiny_recipe, tiny_state

LOWER = 0.07


def matched(**fields):
    return tiny_config(
        schedule__name="gradient_matched",
        schedule__lower=LOWER,
        pruning__num_cycles=4,
        pruning__fraction=0.4,
        **fields,
    )


def width(experiment, state):
    """By hand: the deviation of all living gradients on the first 512 training images."""
    batch = DeviceSplit(*(leaf[:512] for leaf in experiment.data.train))
    gradients = living_gradients(experiment.recipe, state, batch)
    return np.concatenate(list(gradients.values()), dtype=float).std()


def run_of(config, workdir):
    """The experiment, and the states at the ends of its cycles."""
    return load_experiment(config), final_states(run_quietly(config, workdir), config)


def test_max_lr_times_the_width_at_initialisation_is_constant(tmp_path):
    """It starts from `lower`; no other field of the schedule has a part in it."""
    config = matched(schedule__upper=9.0, schedule__steepness=2.0, schedule__delay=3)
    experiment, states = run_of(config, tmp_path)
    start = experiment.create_state(0)
    widths = [width(experiment, start.replace(masks=state.masks)) for state in states]
    max_lr = np.asarray(states[-1].peaks)
    np.testing.assert_allclose(max_lr * widths, LOWER * widths[0], rtol=1e-5)
    assert max_lr[0] == np.float32(LOWER)
    assert len(set(max_lr)) == 4
    told = [float(row["max_lr"]) for row in rows_of(tmp_path / "cycles.csv")]
    np.testing.assert_array_equal(np.float32(told), max_lr)


def test_max_lr_times_the_width_is_the_same_before_and_after_a_prune(tmp_path):
    """Whichever weights the next cycle starts from."""
    experiment, states = run_of(matched(rewind__policy="lr,reinit,weights"), tmp_path)
    fresh, optimizer = experiment.create_state(0), experiment.recipe.optimizer

    def init(rng):
        return init_network(experiment.recipe.model, experiment.image_shape, rng)

    ways = (
        lambda state: rewind_lr(state, optimizer),
        lambda state: reinit(state, init, optimizer),
        lambda state: rewind_weights(
            state, RewindPoint(fresh.params, fresh.batch_stats), optimizer
        ),
    )
    for cycle, rewind in enumerate(ways):
        end, max_lr = states[cycle], states[-1].peaks
        pruned, whole = rewind(end), rewind(end.replace(next_masks=end.masks))
        np.testing.assert_allclose(
            max_lr[cycle + 1] * width(experiment, pruned),
            max_lr[cycle] * width(experiment, whole),
            rtol=1e-5,
        )
    assert states[-1].peaks[0] == np.float32(LOWER)


@pytest.mark.parametrize("share", [0.0, jnp.nan])
def test_a_width_that_is_none_leaves_max_lr(share):
    """Without a living weight there is no width, and with weights that are NaN neither."""
    recipe = tiny_recipe()
    state = tiny_state(recipe).replace(step=jnp.int32(recipe.steps_per_cycle))
    gone = state.replace(
        masks=jax.tree.map(lambda mask: mask & (mask.ndim == 0), state.masks),
        params=jax.tree.map(lambda leaf: share * leaf, state.params),
    )

    def rewind(state, point):
        return gone

    start = jax.jit(lambda s: _gradient_matched(recipe, tiny_data(), rewind, s, None))(state)
    np.testing.assert_array_equal(start.peaks, np.float32([0.1, 0.1, 0.3]))


@pytest.mark.parametrize(
    ("field", "value"), [("rewind__policy", "finetune"), ("rewind__policy", "lr,finetune,lr")]
)
def test_a_held_learning_rate_cannot_be_matched(field, value):
    with refused("schedule.name", "'gradient_matched'", "another"):
        check_config(matched(**{field: value}))


def test_streamed_data_are_not_at_hand():
    with refused("schedule.name", "'gradient_matched'", "another"):
        check_config(matched(data__image_size=32))
