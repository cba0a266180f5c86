"""`masked`: pruned weights and all that is accumulated over them are 0; the rest moves as ever."""

from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.core import freeze

from silo_jax import apply_masks, cycle_schedule, init_masks, masked, prune, shapes
from tests.refusals import refused

RNG = np.random.default_rng(0)
PARAMS = {
    "first": {"kernel": RNG.normal(size=(4, 3)), "bias": RNG.normal(size=(7,))},
    "second": {"kernel": RNG.normal(size=(3, 5))},
}
PARAMS = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), PARAMS)
DENSE = init_masks(PARAMS)
SPARSE = prune(PARAMS, DENSE, 0.5)
SPARSER = prune(PARAMS, SPARSE, 0.5)
NUM_STEPS = 4


def sgd_l2(nesterov=False):
    return optax.chain(
        optax.add_decayed_weights(5e-4), optax.sgd(0.1, momentum=0.9, nesterov=nesterov)
    )


SCHEDULE = cycle_schedule(shapes.linear_decay(3), [0.1, 0.2], 3)
# Each with the number of its accumulators over the two kernels.
OPTIMIZERS = {
    "momentum and L2": (sgd_l2(), 2),
    "nesterov": (sgd_l2(nesterov=True), 2),
    "adamw": (optax.adamw(0.01, weight_decay=0.1), 4),
    "clipped adam": (optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.01)), 4),
    "ema": (optax.chain(sgd_l2(), optax.ema(0.9)), 4),
    "injected": (optax.inject_hyperparams(optax.adamw)(learning_rate=SCHEDULE), 4),
    "rmsprop": (optax.rmsprop(0.01, momentum=0.9, centered=True), 6),
    "adagrad": (optax.adagrad(0.1), 2),
    "if finite": (optax.apply_if_finite(optax.adam(0.01), 3), 4),
    "callable mask": (
        optax.chain(
            optax.add_decayed_weights(0.1, mask=lambda params: {"first": False, "second": True}),
            optax.trace(0.9),
        ),
        2,
    ),
    "every second step": (optax.MultiSteps(sgd_l2(), 2).gradient_transformation(), 4),
    "kernels only": (optax.masked(optax.trace(0.9), {"first": False, "second": True}), 1),
    "by label": (
        optax.partition(
            {"adam": optax.adam(0.01), "sgd": optax.sgd(0.1, momentum=0.9)},
            {"first": "sgd", "second": "adam"},
        ),
        3,
    ),
}


def gradients(params, step):
    """Of a loss that pulls every weight towards a point that moves with the steps."""
    return jax.tree.map(
        lambda w: 3 * w + jnp.cos(jnp.arange(w.size, dtype=w.dtype) + step).reshape(w.shape), params
    )


def run(optimizer, masks_of_steps, params=PARAMS):
    """Steps with the masks given for each; yields (weights, updates, state, masks) after each.

    At two steps out of three the gradients of the pruned weights are not even numbers.
    """
    optimizer = masked(optimizer)
    update = jax.jit(lambda g, s, p, m: optimizer.update(g, s, p, masks=m))
    state = optimizer.init(params)
    for step, masks in enumerate(masks_of_steps):
        params = apply_masks(params, masks)
        gradient = gradients(params, step)
        if step % 3:
            gradient = fill_dead(gradient, masks, (jnp.nan, jnp.inf)[step % 3 - 1])
        updates, state = update(gradient, state, params, masks)
        params = optax.apply_updates(params, updates)
        yield params, updates, state, masks


def fill_dead(tree, masks, value):
    return jax.tree.map(lambda leaf, mask: jnp.where(mask, leaf, value), tree, masks)


def gather(tree, masks):
    """The living entries of every leaf."""
    return jax.tree.map(lambda leaf, mask: leaf[mask] if mask.ndim else leaf, tree, masks)


def split_entries(tree, masks):
    """Of every leaf of the shape of a kernel the entries where that is pruned, and the others."""
    kernels = {mask.shape: np.asarray(mask) for mask in jax.tree.leaves(masks) if mask.ndim}
    found = [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if jnp.shape(leaf) in kernels]
    return [leaf[~kernels[leaf.shape]] for leaf in found], [
        leaf[kernels[leaf.shape]] for leaf in found
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_updates_and_accumulators_are_0_after_every_step(name):
    optimizer, num_accumulators = OPTIMIZERS[name]
    when = [DENSE] * 2 + [SPARSE] * 3 + [SPARSER] * 2  # pruned while the momentum is not 0
    for params, updates, state, masks in run(optimizer, when):
        dead, living = split_entries((state, updates, params), masks)
        assert len(dead) == num_accumulators + 4
        assert not any(entries.any() for entries in dead)
        assert all(np.isfinite(entries).all() for entries in living)
    assert all(entries.all() for entries in split_entries(state, masks)[1])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"kernels only", "by label"}))
def test_living_weights_move_as_if_the_pruned_ones_had_never_been(name):
    """The bare optimizer runs on the vectors of living weights, and moves them alike."""
    optimizer, _ = OPTIMIZERS[name]
    bare_params = gather(PARAMS, SPARSE)
    state = optimizer.init(bare_params)
    bare_update = jax.jit(optimizer.update)
    before = PARAMS
    for step, (params, updates, *_) in enumerate(run(optimizer, [SPARSE] * NUM_STEPS)):
        bare_gradients, before = gather(gradients(before, step), SPARSE), params
        bare_updates, state = bare_update(bare_gradients, state, bare_params)
        bare_params = optax.apply_updates(bare_params, bare_updates)
        for ours, bare in zip(
            jax.tree.leaves((gather(params, SPARSE), gather(updates, SPARSE))),
            jax.tree.leaves((bare_params, bare_updates)),
            strict=True,
        ):
            np.testing.assert_allclose(ours, bare, rtol=1e-5)


@pytest.mark.parametrize("name", ["momentum and L2", "adamw", "ema"])
def test_pruning_in_the_middle_leaves_the_living_alone(name):
    """Where no weight depends on another, dense and pruned runs agree on what stays alive."""
    optimizer, _ = OPTIMIZERS[name]
    dense = run(optimizer, [DENSE] * 6)
    pruned = run(optimizer, [DENSE] * 3 + [SPARSE] * 3)
    for (weights, *_), (weights_pruned, *_) in zip(dense, pruned, strict=True):
        for left, right in zip(
            jax.tree.leaves(gather(weights, SPARSE)),
            jax.tree.leaves(gather(weights_pruned, SPARSE)),
            strict=True,
        ):
            np.testing.assert_allclose(left, right, rtol=1e-6)


def test_what_a_weight_has_left_in_the_momentum_is_gone_at_once_when_it_is_pruned():
    """Clipping after the momentum sees none of it at the first step under the new masks."""
    optimizer = masked(optax.chain(optax.trace(0.5), optax.clip_by_global_norm(1.0)))
    params, dense = {"w": jnp.ones(3)}, {"w": jnp.ones(3, bool)}
    _, state = optimizer.update(
        {"w": jnp.array([6.0, 8.0, 1e6])}, optimizer.init(params), params, masks=dense
    )
    sparse = {"w": jnp.array([True, True, False])}
    updates, state = optimizer.update({"w": jnp.zeros(3)}, state, params, masks=sparse)
    np.testing.assert_allclose(updates["w"], [0.6, 0.8, 0.0], rtol=1e-6)
    assert state[0].trace["w"].tolist() == [3.0, 4.0, 0.0]


def test_clipping_by_norm_sees_only_the_living():
    optimizer = masked(optax.clip_by_global_norm(1.0))
    params, masks = {"w": jnp.ones(3)}, {"w": jnp.array([True, True, False])}
    huge = {"w": jnp.array([3.0, 4.0, 1e6])}
    updates, _ = optimizer.update(huge, optimizer.init(params), params, masks=masks)
    np.testing.assert_allclose(updates["w"], [0.6, 0.8, 0.0], rtol=1e-6)


def test_weight_decay_sees_only_the_living():
    optimizer = masked(optax.chain(optax.add_decayed_weights(0.5), optax.clip_by_global_norm(1.0)))
    params = {"w": jnp.array([3.0, 4.0, 1e6])}  # the third is pruned and not yet zeroed
    masks = {"w": jnp.array([True, True, False])}
    no_gradient = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(no_gradient, optimizer.init(params), params, masks=masks)
    np.testing.assert_allclose(updates["w"], [0.6, 0.8, 0.0], rtol=1e-6)


def test_factored_moments_pass_and_updates_are_masked():
    optimizer = optax.adafactor(0.01, min_dim_size_to_factor=2)
    for _, updates, _, masks in run(optimizer, [DENSE, SPARSE, SPARSER]):
        dead, living = split_entries(updates, masks)
        assert not any(entries.any() for entries in dead)
        assert all(entries.all() for entries in living)


Layer = namedtuple("Layer", ["kernel", "bias"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda kernel, bias: freeze({"kernel": kernel, "bias": bias}),
        lambda kernel, bias: Layer(kernel, bias),
        lambda kernel, bias: [kernel, (bias,)],
    ],
    ids=["FrozenDict", "NamedTuple", "list"],
)
def test_trees_of_any_kind(wrap):
    start = wrap(jnp.array([[1.0, -2.0]]), jnp.ones(1))
    masks = wrap(jnp.array([[True, False]]), jnp.array(True))
    for params, updates, _, _ in run(optax.adamw(0.1), [masks] * 2, start):
        assert (
            jax.tree.structure(updates) == jax.tree.structure(params) == jax.tree.structure(start)
        )
        ((dead,), (living,)) = split_entries(params, masks)
        assert dead == 0 != living


def test_steps_in_a_scan_equal_steps_in_a_loop():
    optimizer = masked(OPTIMIZERS["clipped adam"][0])

    def step(carry, i):
        params, state = carry
        updates, state = optimizer.update(gradients(params, i), state, params, masks=SPARSE)
        return (optax.apply_updates(params, updates), state), None

    start = apply_masks(PARAMS, SPARSE)
    (scanned, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), jnp.arange(NUM_STEPS))
    *_, (looped, *_) = run(OPTIMIZERS["clipped adam"][0], [SPARSE] * NUM_STEPS)
    for left, right in zip(jax.tree.leaves(scanned), jax.tree.leaves(looped), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)


def test_other_arguments_reach_the_optimizer_and_weights_may_be_left_out():
    def update(updates, state, params=None, *, factor):
        assert params is None
        return jax.tree.map(lambda u: factor * u, updates), state

    optimizer = masked(
        optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    )
    masks = {"w": jnp.array([True, False])}
    updates, _ = optimizer.update({"w": jnp.ones(2)}, optax.EmptyState(), masks=masks, factor=3.0)
    assert updates["w"].tolist() == [3.0, 0.0]


@pytest.mark.parametrize(
    "optimizer", [optax.sm3(0.1), optax.flatten(optax.adam(0.1))], ids=["sm3", "flatten"]
)
def test_accumulators_of_another_layout_are_refused_before_any_step(optimizer):
    with refused("optimizer", "its accumulators are not laid out as the weights are"):
        masked(optimizer).init(PARAMS)


def test_missing_masks_are_refused():
    optimizer = masked(optax.sgd(0.1))
    with refused("masks", None, "update(..., masks=masks)"):
        optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
