"""Pruning: exact counts, the right weights, nested masks, clear refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import silo_jax
from silo_jax import init_masks, sparsity
from silo_jax.pruning import layer_counts
from tests.refusals import refused

# What is asked for goes, layers and all; tests/test_allocation.py has what protects them.
prune = partial(silo_jax.prune, min_kept=0)
pytestmark = pytest.mark.filterwarnings("ignore:prune. no weight is left")

RNG = np.random.default_rng(0)
PARAMS = {
    "conv": {"kernel": RNG.normal(size=(3, 3, 2, 8)).astype(np.float32), "bias": np.zeros(8)},
    "dense": {"kernel": RNG.normal(size=(16, 10)).astype(np.float32)},
    "half": {"kernel": jnp.asarray(RNG.normal(size=(5, 7)), jnp.bfloat16)},
    "rate": 1e-9,
}
MASKS = init_masks(PARAMS)
LAYERS = ("conv", "dense", "half")
SIZES = {layer: PARAMS[layer]["kernel"].size for layer in LAYERS}
SIZE = sum(SIZES.values())
FRACTIONS = (0.0, 0.07, 0.2, 1 / 3, 0.5, 0.999, 1.0)


def kept(masks):
    return {path.split("/")[0]: count for path, (_, count) in layer_counts(masks).items()}


def with_kernels(tree, flat):
    """The tree with the elements of a vector for kernels, layer after layer."""
    parts = np.split(flat, np.cumsum([SIZES[layer] for layer in LAYERS])[:-1])
    kernels = {
        layer: part.reshape(PARAMS[layer]["kernel"].shape)
        for layer, part in zip(LAYERS, parts, strict=True)
    }
    return {**tree, **{layer: {**tree[layer], "kernel": kernels[layer]} for layer in LAYERS}}


def flat_kernels(tree):
    return np.concatenate([np.ravel(tree[layer]["kernel"]) for layer in LAYERS])


def with_kept(num_kept):
    """Masks that keep ``num_kept`` weights at random places."""
    return with_kernels(MASKS, np.random.default_rng(num_kept).permutation(SIZE) < num_kept)


prune_traced = {
    scope: jax.jit(partial(prune, scope=scope, params=PARAMS)) for scope in ("global", "layerwise")
}


@given(st.integers(0, SIZE), st.one_of(st.floats(0, 1), st.sampled_from(FRACTIONS)))
@example(150, 0.07)
@example(SIZE, 0.07)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_counts_over_repeated_prunes_are_pythons(num_kept, fraction):
    masks = with_kept(num_kept)
    remaining = num_kept
    for _ in range(4):
        masks = prune(PARAMS, masks, fraction)
        remaining -= round(fraction * remaining)
        assert sum(kept(masks).values()) == remaining
    np.testing.assert_allclose(sparsity(masks), 1 - remaining / SIZE, rtol=1e-6, atol=1e-7)


@given(st.integers(0, SIZE), st.one_of(st.floats(0, 1), st.sampled_from(FRACTIONS)))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_counts_by_layer_are_pythons_in_every_layer(num_kept, fraction):
    masks = with_kept(num_kept)
    remaining = kept(masks)
    for _ in range(3):
        masks = prune(PARAMS, masks, fraction, scope="layerwise")
        remaining = {layer: n - round(fraction * n) for layer, n in remaining.items()}
        assert kept(masks) == remaining


@given(st.integers(0, SIZE), st.floats(0, 1, width=32))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_counts_with_a_traced_fraction(num_kept, fraction):
    masks = with_kept(num_kept)
    remaining = kept(masks)
    everywhere = prune_traced["global"](masks=masks, fraction=np.float32(fraction))
    assert sum(kept(everywhere).values()) == num_kept - round(fraction * num_kept)
    by_layer = prune_traced["layerwise"](masks=masks, fraction=np.float32(fraction))
    assert kept(by_layer) == {layer: n - round(fraction * n) for layer, n in remaining.items()}


@pytest.mark.parametrize("fraction", [0.07, 0.2])
def test_counts_of_many_cycles_inside_a_compiled_loop(fraction):
    num_cycles = 12

    @jax.jit
    def cycles(masks):
        def cycle(masks, _):
            masks = prune(PARAMS, masks, fraction)
            return masks, sum(jnp.sum(masks[layer]["kernel"]) for layer in LAYERS)

        return jax.lax.scan(cycle, masks, length=num_cycles)[1]

    expected, remaining = [], SIZE
    for _ in range(num_cycles):
        remaining -= round(fraction * remaining)
        expected.append(remaining)
    assert cycles(MASKS).tolist() == expected


@pytest.mark.parametrize("fraction", [0.07, 1.0])
@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_jit_equals_eager_and_masks_are_nested(scope, fraction):
    masks = with_kept(200)
    eager = prune(PARAMS, masks, fraction, scope=scope)
    compiled = jax.jit(partial(prune, fraction=fraction, scope=scope))(PARAMS, masks)
    for new, same, old in zip(*map(jax.tree.leaves, (eager, compiled, masks)), strict=True):
        assert new.dtype == bool
        np.testing.assert_array_equal(new, same)
        assert not (new & ~old).any()


def test_fraction_0_is_the_identity_and_1_prunes_all():
    masks = with_kept(150)
    for scope in ("global", "layerwise"):
        same = prune(PARAMS, masks, 0.0, scope=scope)
        assert jax.tree.all(jax.tree.map(np.array_equal, same, masks))
        nothing = prune(PARAMS, masks, 1.0, scope=scope)
        assert kept(nothing) == dict.fromkeys(LAYERS, 0)
        assert kept(prune(PARAMS, nothing, 0.5, scope=scope)) == dict.fromkeys(LAYERS, 0)


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("quantum", [1e-6, 0.5, 100.0], ids=["distinct", "ties", "all equal"])
def test_the_smallest_magnitudes_go_whatever_dead_weights_hold(fraction, quantum):
    masks = with_kept(211)
    alive = flat_kernels(masks)
    weights = np.trunc(flat_kernels(PARAMS) / quantum).astype(np.float32) * np.float32(quantum)
    living = np.flatnonzero(alive)
    by_magnitude = living[np.argsort(np.abs(weights[living]), kind="stable")]
    going = by_magnitude[: round(fraction * living.size)]
    expected = np.setdiff1d(living, going)
    for dead in (0.0, np.nan, np.inf, -1e30):
        params = with_kernels(PARAMS, np.where(alive, weights, np.float32(dead)))
        pruned = prune(params, masks, fraction)
        np.testing.assert_array_equal(np.flatnonzero(flat_kernels(pruned)), expected)


def test_every_leaf_takes_its_own_share_layerwise():
    params = {"small": jnp.arange(1.0, 5).reshape(2, 2), "large": 100 + jnp.arange(6.0)[None]}
    masks = prune(params, init_masks(params), 0.5, scope="layerwise")
    assert masks["small"].tolist() == [[False, False], [True, True]]
    assert masks["large"].tolist() == [[False] * 3 + [True] * 3]
    everywhere = prune(params, init_masks(params), 0.4)
    assert not everywhere["small"].any()
    assert everywhere["large"].all()


def test_what_is_not_prunable_is_never_touched():
    masks = prune(PARAMS, MASKS, 1.0)
    for mask in (masks["conv"]["bias"], masks["rate"]):
        assert mask.shape == ()
        assert mask


def test_masks_may_be_numpys_and_pythons():
    params = {"kernel": np.array([[3.0, -1.0], [0.5, -2.0]]), "bias": np.ones(2)}
    masks = {"kernel": np.array([[False, True], [True, True]]), "bias": True}
    pruned = prune(params, masks, 1 / 3)
    assert pruned["kernel"].tolist() == [[False, True], [False, True]]
    assert pruned["bias"]


def test_nesting_of_the_tree_does_not_matter():
    leaves = [PARAMS[layer]["kernel"] for layer in LAYERS]
    forms = [
        list(leaves),
        {"a": leaves[0], "b": {"c": leaves[1], "d": (leaves[2],)}},
        ((leaves[0], (leaves[1],)), leaves[2]),
    ]
    expected = jax.tree.leaves(prune(forms[0], init_masks(forms[0]), 0.3))
    for form in forms[1:]:
        pruned = jax.tree.leaves(prune(form, init_masks(form), 0.3))
        assert jax.tree.all(jax.tree.map(np.array_equal, pruned, expected))


def test_a_batch_of_networks_is_pruned_one_by_one():
    weights = jnp.asarray(RNG.normal(size=(4, 6, 5)))
    fractions = jnp.array([0.0, 0.1, 0.5, 1.0])
    masks = jnp.asarray(RNG.random((4, 6, 5)) < 0.8)
    batched = jax.vmap(lambda w, m, f: prune([w], [m], f)[0])(weights, masks, fractions)
    for i in range(4):
        np.testing.assert_array_equal(batched[i], prune([weights[i]], [masks[i]], fractions[i])[0])


def test_a_criterion_may_be_any_function_of_the_weights():
    params = {"kernel": jnp.array([[3.0, -1.0], [0.5, -2.0]])}
    masks = init_masks(params)
    signed = prune(params, masks, 0.5, criterion=lambda params: params)
    assert signed["kernel"].tolist() == [[True, False], [True, False]]
    scores = {"kernel": np.array([[1.0, 2.0], [3.0, 4.0]])}
    for run in (prune, jax.jit(prune, static_argnames=("criterion",))):
        constant = run(params, masks, 0.25, criterion=lambda _: scores)
        assert constant["kernel"].tolist() == [[False, True], [True, True]]


def test_a_nan_among_the_living_is_refused_and_when_traced_kept():
    params = {"conv": {"kernel": jnp.array([[jnp.nan, 3.0, 1.0]])}}
    masks = init_masks(params)
    for scope in ("global", "layerwise"):
        with refused("criterion", "conv/kernel has a score that is NaN", "numbers"):
            prune(params, masks, 0.5, scope=scope)
    pruned = jax.jit(prune)(params, masks, 2 / 3)
    assert pruned["conv"]["kernel"].tolist() == [[True, False, False]]
    dead = {"conv": {"kernel": jnp.array([[False, True, True]])}}
    assert prune(params, dead, 0.5)["conv"]["kernel"].tolist() == [[False, True, False]]


def test_masks_of_another_structure_or_shape_are_refused():
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones((2, 2))}
    with refused("masks", "a structure other than that of params", "the same tree"):
        prune(params, {"a": jnp.ones((2, 3), bool)}, 0.5)
    masks = {**init_masks(params), "b": jnp.ones((2, 3), bool)}
    with refused("masks", "b is bool (2, 3)", "bool (2, 2)"):
        prune(params, masks, 0.5)
    with refused("masks", "a is float32 (2, 3)", "bool (2, 3)"):
        prune(params, {**masks, "a": jnp.ones((2, 3))}, 0.5)


def test_scores_of_another_structure_shape_or_type_are_refused():
    params = {"a": jnp.ones((2, 3))}
    masks = init_masks(params)
    for scores, shown in (
        ({}, "scores of another structure"),
        ({"a": jnp.ones(3)}, "a scored float32 (3,)"),
        ({"a": jnp.ones((2, 3), int)}, "a scored int32 (2, 3)"),
        ({"a": 1.0}, "a scored float32 ()"),
    ):
        with refused("criterion", shown):
            prune(params, masks, 0.5, criterion=lambda _, scores=scores: scores)


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("fraction", -1e-9, -1e-09),
        ("fraction", 1.00000001, 1.00000001),
        ("fraction", float("nan"), "nan"),
        ("fraction", "0.5", "'0.5'"),
        ("fraction", None, "None with target_sparsity=None"),
        ("min_kept", -1, "-1"),
        ("fraction", [0.5], "shape (1,)"),
        ("scope", "layer-wise", "'layer-wise'"),
        ("criterion", "magnitud", "'magnitud'"),
    ],
)
def test_prune_refuses(field, value, shown):
    arguments = {"fraction": 0.5, field: value}
    with refused(field, shown):
        prune(PARAMS, MASKS, **arguments)
