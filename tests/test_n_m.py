"""N:M pruning against a sort of every block by NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import apply_masks, init_masks, prune, sparsity
from silo_jax.pruning import n_m
from silo_jax.pruning.n_m import prune_n_m
from tests.refusals import refused
from tests.trees import WRAPPERS

RNG = np.random.default_rng(0)
DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
EXTREMES = [0.0, -0.0, 1.0, 1.0, 2.0, -1.5, 1e-4, 6e4, np.inf, -np.inf, np.nan, -np.nan]
FLOATS = st.one_of(st.sampled_from(EXTREMES), st.floats(-1e3, 1e3, width=16, allow_subnormal=False))
# Shape, input axis and m.
LEAVES = [((4, 3), -2, 4), ((3, 6), 1, 2), ((2, 1, 8, 3), -2, 4), ((6,), 0, 3), ((0, 2), 0, 2)]


def as_are(params):
    return params


jitted = jax.jit(prune_n_m, static_argnames=("n", "m", "criterion", "input_axis"))


def kept_by_sorting(scores, alive, n, m, axis):
    """The n last of every block's living, in the order of score and index; NaN last of numbers."""
    kept = np.zeros(alive.shape, bool)
    blocks = [np.moveaxis(array, axis, -1).reshape(-1, m) for array in (scores, alive)]
    rows = np.moveaxis(np.arange(alive.size).reshape(alive.shape), axis, -1).reshape(-1, m)
    for score, living, places in zip(*blocks, rows, strict=True):
        order = [i for i in np.argsort(score, kind="stable") if living[i]]
        kept.flat[places[order[-n:]]] = True
    return kept


@given(st.data(), st.sampled_from(LEAVES), st.sampled_from(DTYPES))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_block_keeps_the_n_highest_of_its_living(data, leaf, dtype):
    shape, axis, m = leaf
    size = int(np.prod(shape))
    n = data.draw(st.integers(1, m - 1))
    flat = data.draw(st.lists(FLOATS, min_size=size, max_size=size))
    scores = jnp.asarray(np.array(flat, np.float32).reshape(shape)).astype(dtype)
    alive = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    alive = np.array(alive, bool).reshape(shape)
    pruned = jitted([scores], [alive], n, m, criterion=as_are, input_axis=axis)[0]
    assert pruned.dtype == bool
    expected = kept_by_sorting(np.asarray(scores, np.float32), alive, n, m, axis)
    np.testing.assert_array_equal(pruned, expected)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8)])
def test_eager_is_jit_and_exactly_n_of_m_stay_of_a_dense_network(n, m):
    params = {
        "conv": {"kernel": RNG.normal(size=(3, 3, 8, 5)), "bias": np.ones(5)},
        "dense": {"kernel": jnp.asarray(RNG.normal(size=(16, 3)), jnp.bfloat16)},
        "rate": 0.1,
    }
    masks = init_masks(params)
    pruned = prune_n_m(params, masks, n, m)
    for eager, traced in zip(
        *map(jax.tree.leaves, (pruned, jitted(params, masks, n, m))), strict=True
    ):
        np.testing.assert_array_equal(eager, traced)
    assert sparsity(pruned) == 1 - n / m
    for layer in ("conv", "dense"):
        kernel = np.moveaxis(pruned[layer]["kernel"], -2, -1)
        assert (kernel.reshape(-1, m).sum(1) == n).all()
    assert pruned["rate"].shape == pruned["conv"]["bias"].shape == ()


def test_what_is_dead_stays_dead_and_again_is_no_change():
    params = {"kernel": jnp.asarray(RNG.normal(size=(32, 6)))}
    masks = prune(params, init_masks(params), 0.6)
    pruned = prune_n_m(params, masks, 2, 4)
    assert not (pruned["kernel"] & ~masks["kernel"]).any()
    counts = [np.moveaxis(m["kernel"], 0, -1).reshape(-1, 4).sum(1) for m in (masks, pruned)]
    np.testing.assert_array_equal(counts[1], np.minimum(counts[0], 2))
    for weights in (params, apply_masks(params, pruned)):
        again = prune_n_m(weights, pruned, 2, 4)
        np.testing.assert_array_equal(again["kernel"], pruned["kernel"])


@given(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0]), min_size=6, max_size=6))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_a_single_block_is_pruned_as_prune_does(weights):
    params = {"kernel": jnp.array(weights)[:, None]}
    masks = init_masks(params)
    for n in range(1, 6):
        expected = prune(params, masks, (6 - n) / 6)
        np.testing.assert_array_equal(prune_n_m(params, masks, n, 6)["kernel"], expected["kernel"])


@pytest.mark.parametrize("kind", WRAPPERS)
def test_trees_of_every_kind_keep_their_structure(kind):
    weight = jnp.array([[3.0, 1.0], [0.5, 2.0], [1.0, 0.0], [2.0, 3.0]])
    params = WRAPPERS[kind](weight, jnp.ones(3))
    pruned = prune_n_m(params, init_masks(params), 1, 2)
    assert jax.tree.structure(pruned) == jax.tree.structure(params)
    kernels = [mask for mask in jax.tree.leaves(pruned) if mask.ndim]
    assert [kernel.tolist() for kernel in kernels] == [
        [[True, False], [False, True], [False, False], [True, True]]
    ]


def test_the_inputs_of_an_equinox_layer_are_axis_1():
    params = eqx.nn.Conv2d(4, 2, 3, key=jax.random.key(0))
    masks = init_masks(params, lambda path: path == "weight")
    pruned = prune_n_m(params, masks, 2, 4, input_axis=1).weight
    assert (pruned.sum(1) == 2).all()


def test_a_batch_of_networks_is_pruned_one_by_one():
    weights, masks = (
        jnp.asarray(RNG.normal(size=(3, 8, 2))),
        jnp.asarray(RNG.random((3, 8, 2)) < 0.7),
    )
    batched = jax.vmap(lambda w, m: prune_n_m([w], [m], 2, 4)[0])(weights, masks)
    for i in range(3):
        np.testing.assert_array_equal(batched[i], prune_n_m([weights[i]], [masks[i]], 2, 4)[0])


def test_a_nan_among_the_living_is_refused_and_when_traced_kept():
    params = {"conv": {"kernel": jnp.array([[jnp.inf], [jnp.nan], [3.0], [jnp.nan]])}}
    masks = init_masks(params)
    with refused("criterion", "conv/kernel has a score that is NaN", "numbers"):
        prune_n_m(params, masks, 1, 2)
    assert jitted(params, masks, 3, 4)["conv"]["kernel"].ravel().tolist() == [1, 1, 0, 1]
    dead = {"conv": {"kernel": jnp.array([[True], [False], [True], [False]])}}
    assert prune_n_m(params, dead, 1, 4)["conv"]["kernel"].ravel().tolist() == [1, 0, 0, 0]


def test_nan_is_looked_for_in_all_leaves_with_one_wait(monkeypatch):
    waits = []
    device_get = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda x: (waits.append(len(x)), device_get(x))[1])
    params = [jnp.ones((4, 2)), jnp.ones((8, 2)), jnp.ones((4, 1))]
    prune_n_m(params, init_masks(params), 2, 4)
    assert waits == [3]


@pytest.mark.parametrize(
    ("field", "value", "shown", "allowed"),
    [
        ("n", 0, "0", "an integer of at least 1"),
        ("n", 4, "4", "less than m = 4"),
        ("n", 2.0, "2.0", "an integer"),
        ("m", 1, "1", "an integer of at least 2"),
        ("m", "4", "'4'", "an integer"),
        ("m", 3, "3, but a/kernel has 8 inputs", "a divisor of them, or a/kernel exempt"),
        ("input_axis", 1.5, "1.5", "an integer"),
        ("input_axis", 2, "2, but a/kernel is (8, 2)", "its axes, or a/kernel exempt"),
        ("criterion", "magnitud", "'magnitud'", "magnitude"),
        ("criterion", lambda params: {}, "scores of another structure", "that of params"),
        ("masks", {"a": True}, "a structure other than that of params", "the same tree"),
    ],
)
def test_prune_n_m_refuses(field, value, shown, allowed):
    params = {"a": {"kernel": jnp.ones((8, 2))}}
    arguments = {"masks": init_masks(params), "n": 2, "m": 4, field: value}
    with refused(field, shown, allowed):
        prune_n_m(params, **arguments)


def test_a_leaf_of_one_dimension_has_no_axis_of_inputs():
    params = {"kernel": jnp.ones((4, 2)), "gate": jnp.ones(4)}
    with refused("input_axis", "-2, but gate is (4,)", "its axes, or gate exempt"):
        prune_n_m(params, init_masks(params, lambda path: True), 2, 4)


def test_memory_is_a_small_multiple_of_the_scores():
    score = jax.ShapeDtypeStruct((1024, 512), jnp.float32)
    mask = jax.ShapeDtypeStruct((1024, 512), bool)
    memory = n_m._prune_leaf.lower(score, mask, 2, m=4, axis=0).compile().memory_analysis()
    assert memory.temp_size_in_bytes <= 2 * 4 * 1024 * 512
