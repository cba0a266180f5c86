"""Laws of pruning over any tree: nesting, order, types, odd leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import init_masks, prune, prune_and_report, sparsity
from tests.refusals import refused
from tests.trees import WRAPPERS

SHAPES = [(3, 4), (2, 2, 5), (1, 1), (0, 3), (7, 2), (1, 6)]
SCOPES = ["global", "layerwise", "erk", "lamp"]
FRACTIONS = st.floats(0, 1)


def distinct_weights(seed):
    """Weights of all shapes whose magnitudes are all different, of either sign, bfloat16 exact."""
    rng = np.random.default_rng(seed)
    size = sum(int(np.prod(shape)) for shape in SHAPES)
    values = rng.permutation(np.arange(1, size + 1)) * rng.choice([-1.0, 1.0], size)
    ends = np.cumsum([np.prod(shape) for shape in SHAPES])[:-1]
    parts = np.split(values.astype(np.float32), ends)
    return [part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True)]


@st.composite
def nested(draw, leaves):
    """The leaves, in their order, in dicts, lists and tuples of any depth."""
    if len(leaves) == 1:
        return leaves[0]
    cut = draw(st.integers(1, len(leaves) - 1))
    parts = [draw(nested(leaves[:cut])), draw(nested(leaves[cut:]))]
    kind = draw(st.sampled_from(["list", "tuple", "dict"]))
    if kind == "dict":
        return {"a": parts[0], "b": {"c": parts[1]}}
    return parts if kind == "list" else tuple(parts)


def assert_equal_leaves(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


@given(st.data(), st.integers(0, 99), FRACTIONS)
@settings(max_examples=40, deadline=None, derandomize=True)
@pytest.mark.parametrize("scope", SCOPES)
def test_how_a_tree_is_nested_does_not_matter(scope, data, seed, fraction):
    leaves = distinct_weights(seed)
    tree = data.draw(nested(leaves))
    pruned = prune(tree, init_masks(tree), fraction, scope=scope)
    assert jax.tree.structure(pruned) == jax.tree.structure(tree)
    assert_equal_leaves(pruned, prune(leaves, init_masks(leaves), fraction, scope=scope))


@given(st.integers(0, 99), FRACTIONS)
@settings(max_examples=20, deadline=None, derandomize=True)
@pytest.mark.parametrize("order", [[5, 4, 3, 2, 1, 0], [2, 0, 4, 1, 5, 3]])
@pytest.mark.parametrize("scope", ["global", "layerwise", "lamp"])
def test_the_order_of_leaves_does_not_matter_unless_scores_are_equal(scope, order, seed, fraction):
    leaves = distinct_weights(seed)
    pruned = prune(leaves, init_masks(leaves), fraction, scope=scope)
    moved = [leaves[i] for i in order]
    moved = prune(moved, init_masks(moved), fraction, scope=scope)
    assert_equal_leaves(moved, [pruned[i] for i in order])


@given(st.lists(FRACTIONS, min_size=1, max_size=5), st.integers(0, 99))
@settings(max_examples=40, deadline=None, derandomize=True)
@pytest.mark.parametrize("scope", SCOPES)
def test_masks_only_shrink_and_0_changes_nothing(scope, fractions, seed):
    leaves = distinct_weights(seed)
    masks = init_masks(leaves)
    for fraction in fractions:
        pruned = prune(leaves, masks, fraction, scope=scope)
        assert not any((new & ~old).any() for new, old in zip(pruned, masks, strict=True))
        assert_equal_leaves(prune(leaves, pruned, 0.0, scope=scope), pruned)
        assert_equal_leaves(prune(leaves, pruned, target_sparsity=0.0, scope=scope), pruned)
        masks = pruned


@given(st.integers(0, 99), FRACTIONS)
@settings(max_examples=30, deadline=None, derandomize=True)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("scope", SCOPES)
def test_half_precision_is_pruned_as_the_same_values_in_float32(scope, dtype, seed, fraction):
    rng = np.random.default_rng(seed)
    halves = [jnp.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]
    singles = [leaf.astype(jnp.float32) for leaf in halves]
    masks = init_masks(halves)
    expected = prune(singles, masks, fraction, scope=scope)
    assert_equal_leaves(prune(halves, masks, fraction, scope=scope), expected)
    mixed = [
        half if i % 2 else single
        for i, (half, single) in enumerate(zip(halves, singles, strict=True))
    ]
    assert_equal_leaves(prune(mixed, masks, fraction, scope=scope), expected)


@pytest.mark.parametrize("kind", WRAPPERS)
def test_trees_of_every_kind(kind):
    weight = jnp.asarray(np.arange(12.0).reshape(3, 4) - 6, jnp.float32)
    tree = WRAPPERS[kind](weight, jnp.ones(4))
    masks, report = jax.jit(lambda masks: prune_and_report(tree, masks, 0.5))(init_masks(tree))
    assert jax.tree.structure(masks) == jax.tree.structure(tree)
    expected = prune([weight], init_masks([weight]), 0.5)[0]
    kept = [mask for mask in jax.tree.leaves(masks) if mask.ndim]
    assert_equal_leaves(kept, [expected])
    ((path, layer),) = report.items()
    assert path.split("/")[-1] in ("kernel", "weight", "0")
    assert (layer.size, layer.kept) == (12, 6)


def test_odd_leaves_take_no_part_or_are_refused_by_name():
    odd = {
        "complex": jnp.ones((2, 2), complex),
        "integer": jnp.ones((2, 2), int),
        "bool": jnp.ones((2, 2), bool),
        "scalar": jnp.ones(()),
        "number": 1.0,
        "text": "relu",
    }
    params = odd | {"empty": jnp.ones((0, 3)), "one": jnp.ones((1, 1)), "two": jnp.ones((1, 2))}
    masks = init_masks(params)
    assert [name for name, mask in masks.items() if mask.ndim] == ["empty", "one", "two"]
    for _ in range(2):
        masks = prune(params, masks, 0.9)
    assert {name: int(masks[name].sum()) for name in ("empty", "one", "two")} == {
        "empty": 0,
        "one": 1,
        "two": 1,
    }
    for name, shown in (
        ("complex", "complex is complex64(2, 2)"),
        ("integer", "integer is int32(2, 2)"),
        ("bool", "bool is bool(2, 2)"),
        ("scalar", "scalar is float32()"),
        ("number", "number is float"),
        ("text", "text is str"),
    ):
        with refused("prunable", shown, "real floating-point arrays"):
            init_masks(params, [name])


def test_a_tree_of_empty_leaves_only():
    params = {"a": jnp.ones((0, 3)), "b": jnp.ones((2, 0))}
    masks = prune(params, init_masks(params), 0.5)
    assert jax.tree.map(jnp.shape, masks) == {"a": (0, 3), "b": (2, 0)}
    assert sparsity(masks) == 0


def test_traced_nan_is_kept_before_numbers_and_goes_last():
    params = {"w": jnp.array([[jnp.nan, 1.0, jnp.inf, 0.0]])}
    masks = init_masks(params)

    @jax.jit
    def pruned(fraction):
        return prune(params, masks, fraction, min_kept=0)["w"]

    for fraction, kept in ((0.5, [0, 2]), (0.75, [0]), (1.0, [])):
        assert np.flatnonzero(pruned(fraction)).tolist() == kept
    with refused("criterion", "w has a score that is NaN"):
        prune(params, masks, 0.5)
