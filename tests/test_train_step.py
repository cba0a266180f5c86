"""Laws of the train step, the epoch and the evaluation."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from silo_jax import shapes
from silo_jax.pruning import layer_counts
from silo_jax.rewinding import rewind_lr
from silo_jax.training.evaluation import evaluate
from silo_jax.training.step import (
    DeviceSplit,
    learning_rate,
    train_epoch,
    train_step,
)
from tests.tiny import (
    BATCH_SIZE,
    NUM_IMAGES,
    STEPS_PER_CYCLE,
    assert_identical,
    tiny_data,
    tiny_recipe,
    tiny_state,
)

STEPS_PER_EPOCH = NUM_IMAGES // BATCH_SIZE
FAR = 10**6


def batches(data: DeviceSplit, number: int) -> list[DeviceSplit]:
    random = np.random.default_rng(1)
    choices = [random.choice(NUM_IMAGES, BATCH_SIZE, replace=False) for _ in range(number)]
    return [DeviceSplit(data.images[chosen], data.labels[chosen]) for chosen in choices]


def assert_zero_where_pruned(tree, masks) -> None:
    for leaf, mask in zip(jax.tree.leaves(tree), jax.tree.leaves(masks), strict=True):
        assert not np.any(np.asarray(leaf)[np.broadcast_to(~np.asarray(mask), leaf.shape)])


def accumulators(opt_state, params) -> list:
    """Every subtree of the optimizer's state that has the structure of the weights."""
    structure = jax.tree.structure(params)
    found = []

    def is_accumulator(node) -> bool:
        same = jax.tree.structure(node) == structure
        found.extend([node] if same else [])
        return same

    jax.tree.leaves(opt_state, is_leaf=is_accumulator)
    return found


def remembering_gradients(optimizer):
    """The optimizer, with the gradients that it was last handed as part of its state."""

    def init(params):
        return optimizer.init(params), params

    def update(grads, state, params=None, **extra):
        updates, inner = optimizer.update(grads, state[0], params, **extra)
        return updates, (inner, grads)

    return optax.GradientTransformationExtraArgs(init, update)


@pytest.mark.parametrize(("optimizer", "num_accumulators"), [("sgd", 1), ("adamw", 2)])
def test_pruned_weights_their_gradient_and_momentum_are_zero_after_every_step(
    optimizer, num_accumulators
):
    recipe = tiny_recipe(optimizer)
    recipe = replace(recipe, optimizer=remembering_gradients(recipe.optimizer))
    state, step = tiny_state(recipe), jax.jit(partial(train_step, recipe))
    for number, batch in enumerate(batches(tiny_data(), 3 * STEPS_PER_CYCLE), start=1):
        state, _ = step(state, batch)
        moments = accumulators(state.opt_state, state.params)
        assert len(moments) == num_accumulators + 1
        assert all(np.any(leaf) for leaf in jax.tree.leaves(moments[-1]))
        for tree in (state.params, *moments):
            assert_zero_where_pruned(tree, state.masks)
        if number % STEPS_PER_CYCLE == 0:
            state = rewind_lr(state, recipe.optimizer)
            assert_zero_where_pruned(state.params, state.masks)
    kept = sum(kept for _, kept in layer_counts(state.masks).values())
    total = 16 * 7 + 7 * 3
    for _ in range(3):
        total -= round(0.5 * total)
    assert kept == total


def test_only_the_last_step_of_a_cycle_prunes_and_only_into_next_masks():
    recipe = tiny_recipe()
    state, step = tiny_state(recipe), jax.jit(partial(train_step, recipe))
    first_masks = state.masks
    for number, batch in enumerate(batches(tiny_data(), STEPS_PER_CYCLE), start=1):
        state, _ = step(state, batch)
        assert_identical(state.masks, first_masks)
        pruned = sum(size - kept for size, kept in layer_counts(state.next_masks).values())
        assert pruned == (round(0.5 * (16 * 7 + 7 * 3)) if number == STEPS_PER_CYCLE else 0)
    magnitudes = np.concatenate(
        [np.abs(np.ravel(layer["kernel"])) for layer in state.params.values()]
    )
    kept = np.concatenate([np.ravel(layer["kernel"]) for layer in state.next_masks.values()])
    assert magnitudes[~kept].max() <= magnitudes[kept].min()


def test_learning_rate_is_peak_times_shape_of_the_step_in_the_cycle():
    recipe = tiny_recipe(shape=shapes.linear_decay(STEPS_PER_CYCLE))
    state = tiny_state(recipe)
    for step in range(3 * STEPS_PER_CYCLE):
        cycle, step_in_cycle = divmod(step, STEPS_PER_CYCLE)
        want = [0.1, 0.2, 0.3][cycle] * (1 - step_in_cycle / STEPS_PER_CYCLE)
        at_step = state.replace(step=jnp.asarray(step))
        np.testing.assert_allclose(learning_rate(recipe, at_step), want, rtol=1e-6)


def test_a_step_of_sgd_is_the_textbook_formula():
    recipe = tiny_recipe()
    state, batch = tiny_state(recipe), batches(tiny_data(), 1)[0]

    def loss(params):
        images = (batch.images / 255.0 - 0.5) / 0.25
        log_probabilities = nn.log_softmax(recipe.model.apply({"params": params}, images))
        return -jnp.take_along_axis(log_probabilities, batch.labels[:, None], 1).mean()

    grads = jax.grad(loss)(state.params)
    want = jax.tree.map(lambda w, g: w - 0.1 * (g + 0.1 * w), state.params, grads)
    after, sums = train_step(recipe, state, batch)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), after.params, want)
    np.testing.assert_allclose(sums.loss / BATCH_SIZE, loss(state.params), rtol=1e-5)


def test_an_epoch_is_its_steps_one_after_another_on_different_images():
    data = tiny_data()
    recipe = tiny_recipe()
    state, sums = jax.jit(partial(train_epoch, recipe))(tiny_state(recipe), data, FAR)
    assert int(state.step) == STEPS_PER_EPOCH
    assert int(sums.examples) == STEPS_PER_EPOCH * BATCH_SIZE

    order_rng = jax.random.fold_in(jax.random.fold_in(tiny_state(recipe).rng, 0), 0)
    order = jax.random.permutation(jax.random.fold_in(order_rng, 0), NUM_IMAGES)
    drawn = order[: STEPS_PER_EPOCH * BATCH_SIZE].reshape(STEPS_PER_EPOCH, BATCH_SIZE)
    assert len(np.unique(drawn)) == drawn.size
    want, step = tiny_state(recipe), jax.jit(partial(train_step, recipe))
    for indices in drawn:
        want, _ = step(want, DeviceSplit(data.images[indices], data.labels[indices]))
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state.params, want.params
    )


def test_epochs_and_seeds_differ_in_their_order():
    recipe, data = tiny_recipe(steps_per_cycle=100), tiny_data()
    epoch = jax.jit(partial(train_epoch, recipe))
    start = tiny_state(recipe)
    first, _ = epoch(start, data, FAR)
    other_epoch, _ = epoch(start.replace(step=jnp.int32(STEPS_PER_EPOCH)), data, FAR)
    other_cycle, _ = epoch(start.replace(step=jnp.int32(100)), data, FAR)
    other_seed, _ = epoch(start.replace(rng=tiny_state(recipe, seed=1).rng), data, FAR)
    for other in (other_epoch, other_cycle, other_seed):
        pairs = zip(jax.tree.leaves(first.params), jax.tree.leaves(other.params), strict=True)
        assert not all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("stop", range(1, STEPS_PER_EPOCH))
def test_an_epoch_in_two_parts_is_the_epoch(stop):
    recipe, data = tiny_recipe(), tiny_data()
    epoch = jax.jit(partial(train_epoch, recipe))
    whole, whole_sums = epoch(tiny_state(recipe), data, FAR)
    part, first_sums = epoch(tiny_state(recipe), data, stop)
    assert int(part.step) == stop
    rest, last_sums = epoch(part, data, FAR)
    assert_identical(rest, whole)
    assert_identical(last_sums, whole_sums)
    assert int(first_sums.examples) == stop * BATCH_SIZE


def test_augmentation_is_part_of_the_step_and_differs_by_step():
    recipe, data = tiny_recipe(crop_padding=2, flip=True, steps_per_cycle=100), tiny_data()
    batch = batches(data, 1)[0]
    state = tiny_state(recipe)
    losses = {
        float(train_step(recipe, state.replace(step=jnp.int32(step)), batch)[1].loss)
        for step in range(4)
    }
    assert len(losses) == 4


@pytest.mark.parametrize("batch_size", [1, 4, 20, 21, 50])
def test_evaluation_counts_every_image_once_whatever_the_batch_size(batch_size):
    recipe, data = tiny_recipe(crop_padding=2, flip=True), tiny_data()
    state = tiny_state(recipe)
    logits = np.asarray(
        recipe.model.apply(
            {"params": state.params}, (np.asarray(data.images) / 255.0 - 0.5) / 0.25
        ),
        np.float64,
    )
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    labels = np.asarray(data.labels)
    sums = evaluate(recipe, batch_size, state, data)
    assert int(sums.examples) == NUM_IMAGES
    assert int(sums.correct) == np.sum(logits.argmax(1) == labels)
    want = -log_probabilities[np.arange(NUM_IMAGES), labels].sum()
    np.testing.assert_allclose(sums.loss, want, rtol=1e-5)
