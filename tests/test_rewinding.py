"""Rewinding, bit for bit: what each policy takes back, and what it leaves alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax import apply_masks, shapes
from silo_jax.rewinding import (
    POLICIES,
    RewindPoint,
    finetune,
    policies_of_cycles,
    reinit,
    rewind_lr,
    rewind_weights,
)
from silo_jax.training.state import init_network
from silo_jax.training.step import learning_rate, train_epoch
from tests.refusals import refused
from tests.tiny import (
    STEPS_PER_CYCLE,
    WithStatistics,
    assert_identical,
    tiny_data,
    tiny_recipe,
    tiny_state,
)

LAST_LR = 0.0125
IMAGE_SHAPE = (4, 4, 1)


EPOCH = jax.jit(train_epoch, static_argnums=0)
DONATING_EPOCH = jax.jit(train_epoch, static_argnums=0, donate_argnums=1)


def train(recipe, state, steps):
    end = jnp.int32(state.step + steps)
    while int(state.step) < end:
        state, _ = EPOCH(recipe, state, tiny_data(), end)
    return state


@pytest.fixture(scope="module", params=["sgd", "adamw"])
def trained(request):
    """The recipe, the state before the first step, and the one at the end of the first cycle."""
    recipe = tiny_recipe(request.param, model=WithStatistics())
    return recipe, tiny_state(recipe), train(recipe, tiny_state(recipe), STEPS_PER_CYCLE)


def rewind(policy, recipe, start, end, **options):
    """The end state under a policy; the rewind point is the start state."""
    optimizer, of_lr = recipe.optimizer, {k: v for k, v in options.items() if "batch" not in k}
    match policy:
        case "weights":
            point = RewindPoint(start.params, start.batch_stats)
            return rewind_weights(end, point, optimizer, **options)
        case "lr":
            return rewind_lr(end, optimizer, **of_lr)
        case "finetune":
            return finetune(end, LAST_LR, optimizer, steps_per_cycle=STEPS_PER_CYCLE, **of_lr)
        case "reinit":
            init = partial(init_network, recipe.model, IMAGE_SHAPE)
            return reinit(end, init, optimizer, **options)


def new_network(recipe, end):
    """Variables drawn as the docstring of `reinit` says, by linen alone."""
    key = jax.random.fold_in(jax.random.fold_in(end.rng, 2), STEPS_PER_CYCLE)
    return jax.jit(recipe.model.init)(key, jnp.zeros((1, *IMAGE_SHAPE)))


def masked_by_numpy(tree, masks):
    """Zero where the mask is False; a scalar mask keeps the whole leaf."""
    return jax.tree.map(lambda x, mask: np.where(mask, x, np.zeros_like(x)), tree, masks)


@pytest.mark.parametrize("policy", POLICIES)
def test_weights_are_those_of_the_policy_under_the_new_masks(trained, policy):
    recipe, start, end = trained
    state = rewind(policy, recipe, start, end)
    source = {
        "weights": start.params,
        "lr": end.params,
        "finetune": end.params,
        "reinit": new_network(recipe, end)["params"],
    }[policy]
    assert_identical(state.params, masked_by_numpy(source, end.next_masks))
    assert_identical(state.masks, end.next_masks)
    kept = np.asarray(end.next_masks["Dense_0"]["kernel"])
    assert 0 < kept.sum() < kept.size  # the masks do take something


@pytest.mark.parametrize("policy", POLICIES)
def test_statistics_go_where_the_weights_go_unless_they_are_to_be_kept(trained, policy):
    recipe, start, end = trained
    goes_back = {
        "weights": start.batch_stats,
        "lr": end.batch_stats,
        "finetune": end.batch_stats,
        "reinit": new_network(recipe, end)["batch_stats"],
    }[policy]
    assert_identical(rewind(policy, recipe, start, end).batch_stats, goes_back)
    kept = rewind(policy, recipe, start, end, rewind_batch_stats=False)
    assert_identical(kept.batch_stats, end.batch_stats)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_optimizer_starts_anew_or_is_kept_for_the_weights_that_are_left(trained, policy):
    recipe, start, end = trained
    anew = rewind(policy, recipe, start, end)
    assert_identical(anew.opt_state, recipe.optimizer.init(anew.params))
    kept = rewind(policy, recipe, start, end, reset_optimizer=False)
    gone = ~np.asarray(end.next_masks["Dense_0"]["kernel"])
    before, after = jax.tree.leaves(end.opt_state), jax.tree.leaves(kept.opt_state)
    assert jax.tree.structure(end.opt_state) == jax.tree.structure(kept.opt_state)
    seen = 0
    for was, now in zip(before, after, strict=True):
        masks = [m for m in jax.tree.leaves(end.next_masks) if m.shape == was.shape and m.ndim]
        (mask,) = masks or [np.ones((), bool)]
        assert_identical(now, np.where(mask, was, np.zeros_like(was)))
        if was.shape == gone.shape:
            assert np.asarray(was)[gone].any()  # there was something to mask
            seen += 1
    assert seen


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("reset_optimizer", [True, False])
def test_step_key_and_peaks_stay_but_for_the_peak_that_finetuning_holds(
    trained, policy, reset_optimizer
):
    recipe, start, end = trained
    state = rewind(policy, recipe, start, end, reset_optimizer=reset_optimizer)
    for kept in ("step", "rng", "next_masks"):
        assert_identical(getattr(state, kept), getattr(end, kept))
    peaks = np.array([0.1, LAST_LR if policy == "finetune" else 0.2, 0.3], np.float32)
    assert_identical(state.peaks, peaks)
    assert float(learning_rate(recipe, state)) == peaks[1]


@pytest.mark.parametrize("policy", POLICIES)
def test_weights_and_momentum_that_are_gone_stay_zero_in_the_steps_that_follow(trained, policy):
    recipe, start, end = trained
    state = rewind(policy, recipe, start, end, reset_optimizer=False)
    state = train(recipe, state, STEPS_PER_CYCLE - 1)
    gone = ~np.asarray(state.masks["Dense_0"]["kernel"])
    leaves = jax.tree.leaves((state.params, state.opt_state))
    of_shape = [leaf for leaf in leaves if leaf.shape == gone.shape]
    assert len(of_shape) >= 2
    for leaf in of_shape:
        assert not np.asarray(leaf)[gone].any()
        assert np.asarray(leaf)[~gone].all()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_rewound_state_can_be_trained_with_donated_buffers(trained, policy):
    """No two of its leaves share a buffer."""
    recipe, start, end = trained
    start, end = jax.tree.map(jnp.copy, (start, end))  # what is handed through is used up too
    rewound = jax.jit(partial(rewind, policy, recipe))(start, end)
    state, _ = DONATING_EPOCH(recipe, rewound, tiny_data(), jnp.int32(10**6))
    assert int(state.step) > STEPS_PER_CYCLE


def test_finetuning_holds_the_last_learning_rate_through_cycle_after_cycle():
    decay, held = shapes.linear_decay(STEPS_PER_CYCLE), shapes.constant()
    recipe = tiny_recipe(shape=(decay, held, held))
    lr = jax.jit(partial(learning_rate, recipe))
    state, rates = tiny_state(recipe), []
    for step in range(3 * STEPS_PER_CYCLE):
        state = state.replace(step=jnp.int32(step))
        if step in (STEPS_PER_CYCLE, 2 * STEPS_PER_CYCLE):
            last = lr(state.replace(step=state.step - 1))
            state = finetune(state, last, recipe.optimizer, steps_per_cycle=STEPS_PER_CYCLE)
        rates.append(float(lr(state)))
    dense = [0.1 * (1 - step / STEPS_PER_CYCLE) for step in range(STEPS_PER_CYCLE)]
    np.testing.assert_allclose(rates[:STEPS_PER_CYCLE], dense, rtol=1e-6)
    assert set(rates[STEPS_PER_CYCLE:]) == {rates[STEPS_PER_CYCLE - 1]}
    assert state.peaks[1:].tolist() == [rates[STEPS_PER_CYCLE - 1]] * 2


def test_new_weights_depend_on_seed_and_cycle_and_on_nothing_else(trained):
    recipe, start, end = trained

    def kernel(state):
        return np.asarray(rewind("reinit", recipe, start, state).params["Dense_0"]["kernel"])

    kept = np.asarray(end.next_masks["Dense_0"]["kernel"])
    elsewhere = end.replace(
        params=jax.tree.map(jnp.zeros_like, end.params), peaks=end.peaks + 1, last_loss=jnp.ones(())
    )
    assert_identical(kernel(end), kernel(elsewhere))
    for other in (
        end.replace(rng=tiny_state(recipe, seed=1).rng),
        end.replace(step=end.step + STEPS_PER_CYCLE),
    ):
        assert (kernel(end) != kernel(other))[kept].all()
    assert (kernel(end) != np.asarray(start.params["Dense_0"]["kernel"]))[kept].all()


@pytest.mark.parametrize("repeat", [True, False])
def test_data_is_that_of_the_first_cycle_again_only_where_it_is_to_be_repeated(repeat):
    """The same weights, masks and rates at the start of both cycles end the same on equal data."""
    recipe = tiny_recipe(repeat_data=repeat, crop_padding=1, flip=True)
    start = tiny_state(recipe).replace(peaks=jnp.full(3, 0.1))
    first, second = (
        train(recipe, start.replace(step=jnp.int32(step)), STEPS_PER_CYCLE).params
        for step in (0, STEPS_PER_CYCLE)
    )
    if repeat:
        assert_identical(first, second)
    else:
        assert (first["Dense_0"]["kernel"] != second["Dense_0"]["kernel"]).any()


def test_without_a_prune_nothing_but_the_rewinding_changes_the_weights(trained):
    """Rewinding to the state itself is the identity on weights that are already masked."""
    recipe, _, end = trained
    once = rewind_lr(end, recipe.optimizer, reset_optimizer=False)
    point = RewindPoint(once.params, once.batch_stats)
    assert_identical(rewind_weights(once, point, recipe.optimizer, reset_optimizer=False), once)
    assert_identical(once.params, apply_masks(end.params, end.next_masks))


def test_names_of_policies():
    assert policies_of_cycles("lr", 1) == ()
    assert policies_of_cycles("lr", 3) == ("lr", "lr")
    assert policies_of_cycles("reinit,weights", 3) == ("reinit", "weights")
    assert policies_of_cycles("finetune , lr", 3) == ("finetune", "lr")
    with refused("rewind.policy", "'weight'", "finetune, lr, reinit, weights (did you mean 'wei"):
        policies_of_cycles("lr,weight", 3)
    with refused("rewind.policy", "'lr,lr'", "one name, or one for each of 4 cycles but the first"):
        policies_of_cycles("lr,lr", 4)
    with refused("rewind.policy", "''"):
        policies_of_cycles("lr,", 3)
