"""Rewinding, bit for bit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax import apply_masks
from silo_jax.rewinding import RewindPoint, rewind_lr, rewind_weights
from silo_jax.training.step import learning_rate, train_epoch
from tests.tiny import (
    STEPS_PER_CYCLE,
    WithStatistics,
    assert_identical,
    tiny_data,
    tiny_recipe,
    tiny_state,
)


@pytest.fixture(scope="module", params=["sgd", "adamw"])
def trained(request):
    """The recipe, the state before the first step, and the one at the end of the first cycle."""
    recipe = tiny_recipe(request.param, model=WithStatistics())
    epoch = jax.jit(partial(train_epoch, recipe))
    state = tiny_state(recipe)
    while int(state.step) < STEPS_PER_CYCLE:
        state, _ = epoch(state, tiny_data(), STEPS_PER_CYCLE)
    return recipe, tiny_state(recipe), state


def test_weights_equal_the_masked_rewind_point(trained):
    recipe, start, end = trained
    point = RewindPoint(start.params, start.batch_stats)
    state = rewind_weights(end, point, recipe.optimizer)
    assert_identical(state.params, apply_masks(start.params, end.next_masks))
    assert_identical(state.batch_stats, start.batch_stats)
    assert_identical(state.masks, end.next_masks)
    for layer, mask in state.masks.items():
        kernel = np.asarray(state.params[layer]["kernel"]) if "Dense" in layer else None
        if kernel is not None:
            alive = np.asarray(mask["kernel"])
            assert np.array_equal(kernel[alive], np.asarray(start.params[layer]["kernel"])[alive])
            assert not kernel[~alive].any()


def test_lr_rewinding_keeps_the_weights_that_are_left(trained):
    recipe, _, end = trained
    state = rewind_lr(end, recipe.optimizer)
    assert_identical(state.params, apply_masks(end.params, end.next_masks))
    assert_identical(state.batch_stats, end.batch_stats)
    assert_identical(state.masks, end.next_masks)


@pytest.mark.parametrize("policy", ["weights", "lr"])
def test_every_policy_starts_lr_and_optimizer_afresh_and_nothing_else(trained, policy):
    recipe, start, end = trained
    point = RewindPoint(start.params, start.batch_stats)
    rewound = {
        "weights": lambda: rewind_weights(end, point, recipe.optimizer),
        "lr": lambda: rewind_lr(end, recipe.optimizer),
    }[policy]()
    assert_identical(rewound.opt_state, recipe.optimizer.init(rewound.params))
    np.testing.assert_allclose(learning_rate(recipe, rewound), 0.2, rtol=1e-6)
    for kept in ("step", "peaks", "rng", "next_masks"):
        assert_identical(getattr(rewound, kept), getattr(end, kept))


def test_a_rewound_state_can_be_trained_with_donated_buffers(trained):
    """No two of its leaves share a buffer."""
    recipe, _, end = trained
    rewound = jax.jit(partial(rewind_lr, optimizer=recipe.optimizer))(end)
    epoch = jax.jit(partial(train_epoch, recipe), donate_argnums=0)
    state, _ = epoch(rewound, tiny_data(), jnp.int32(10**6))
    assert int(state.step) > STEPS_PER_CYCLE
