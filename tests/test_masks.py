"""Masks: which leaves take part, what masking does to a tree, and what is counted."""

from collections import namedtuple
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.core import freeze
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import apply_masks, init_masks, prune, sparsity
from silo_jax.pruning import layer_counts
from tests.refusals import refused

Pair = namedtuple("Pair", ["weight", "bias"])


@partial(jax.tree_util.register_dataclass, data_fields=["weight", "activation"], meta_fields=[])
@dataclass
class Layer:
    """As an equinox module: arrays and functions side by side."""

    weight: Any
    activation: Any


class Network(nn.Module):
    """Something of everything that is a parameter."""

    @nn.compact
    def __call__(self, images):
        cls = self.param("cls", nn.initializers.zeros, (1, 1, 4))
        position = self.param("pos_embedding", nn.initializers.zeros, (1, 2, 4))
        x = nn.Conv(4, (3, 3))(images)
        x = nn.BatchNorm(use_running_average=True)(x)
        x = nn.MultiHeadDotProductAttention(num_heads=2)(x)
        x = nn.LayerNorm()(x) + cls + position.mean(1) + nn.Embed(3, 4)(jnp.zeros(4, int))
        return nn.Dense(2)(x)


def prunable_paths(masks):
    return set(layer_counts(masks))


def test_by_default_the_kernels_of_a_linen_network_take_part():
    params = nn.unbox(jax.eval_shape(Network().init, jax.random.key(0), jnp.ones((1, 4, 4, 4))))
    masks = init_masks(params["params"])
    attention = "MultiHeadDotProductAttention_0"
    kernels = {f"{attention}/{part}/kernel" for part in ("query", "key", "value", "out")}
    assert prunable_paths(masks) == kernels | {"Conv_0/kernel", "Dense_0/kernel"}
    assert jax.tree.structure(masks) == jax.tree.structure(params["params"])


class NnxNetwork(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.linear = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.embed = nnx.Embed(5, 4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)  # its state holds a PRNG key and a counter


def test_the_state_of_an_nnx_module_is_masked_and_pruned():
    state = nnx.state(NnxNetwork(nnx.Rngs(0)))
    masks = prune(state, init_masks(state), 0.5)
    ((path, counts),) = layer_counts(masks).items()
    assert path.startswith("linear/kernel")
    assert counts == (12, 6)
    assert jax.tree.structure(apply_masks(state, masks)) == jax.tree.structure(state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weight, bias: {"a": {"kernel": weight, "bias": bias}},
        lambda weight, bias: freeze({"kernel": weight, "bias": bias}),
        lambda weight, bias: [(weight, bias)],
        lambda weight, bias: Pair(weight, bias),
        lambda weight, bias: {"layer": Layer(weight, jax.nn.relu), "none": None, "rate": 0.1},
        lambda weight, bias: {"weight": np.asarray(weight), "key": jax.random.key(0)},
        lambda weight, bias: weight,
    ],
    ids=["dict", "FrozenDict", "list", "NamedTuple", "functions", "keys", "bare array"],
)
def test_any_tree_of_arrays_is_masked_and_pruned(wrap):
    weight = jnp.array([[3.0, -1.0], [0.5, -2.0]])
    tree = wrap(weight, jnp.ones(2))
    masks = init_masks(tree)
    assert jax.tree.structure(masks) == jax.tree.structure(tree)
    assert all(mask.dtype == bool for mask in jax.tree.leaves(masks))

    pruned = prune(tree, masks, 0.5)
    ((size, kept),) = layer_counts(pruned).values()
    assert (size, kept) == (4, 2)
    zeroed = apply_masks(tree, pruned)
    expected = wrap(jnp.array([[3.0, 0.0], [0.0, -2.0]]), jnp.ones(2))
    for leaf, wanted in zip(jax.tree.leaves(zeroed), jax.tree.leaves(expected), strict=True):
        assert leaf is wanted or jnp.array_equal(leaf, wanted)


TREE = {
    "Dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
    "Dense_1": {"kernel": jnp.ones((3, 2), jnp.bfloat16), "bias": jnp.ones(2)},
    "count": jnp.zeros((2, 2), int),
}


@pytest.mark.parametrize(
    ("prunable", "paths"),
    [
        (None, {"Dense_0/kernel", "Dense_1/kernel"}),
        (["kernel"], {"Dense_0/kernel", "Dense_1/kernel"}),
        (["^Dense_0", "1/bias$"], {"Dense_0/kernel", "Dense_0/bias", "Dense_1/bias"}),
        (lambda path: path.endswith("1/kernel"), {"Dense_1/kernel"}),
        (lambda path: path == "Dense_0/bias", {"Dense_0/bias"}),
    ],
)
def test_rules_choose_the_leaves_that_take_part(prunable, paths):
    masks = init_masks(TREE, prunable)
    assert prunable_paths(masks) == paths
    for path, (size, kept) in layer_counts(masks).items():
        layer, name = path.split("/")
        assert size == kept == TREE[layer][name].size
        assert masks[layer][name].shape == TREE[layer][name].shape
    assert all(mask.all() for mask in jax.tree.leaves(masks))


def test_masks_of_shapes_are_masks_of_arrays():
    shapes = jax.eval_shape(lambda: TREE)
    assert jax.tree.map(jnp.shape, init_masks(shapes)) == jax.tree.map(jnp.shape, init_masks(TREE))


@pytest.mark.parametrize(
    ("prunable", "value"),
    [
        (["Conv"], "'Conv' matches no leaf"),
        (["kernel", "("], "'('"),
        ("kernel", "'kernel'"),
        ([], "no leaf is prunable"),
        (lambda path: False, "no leaf is prunable"),
        (["count"], "count is int32(2, 2)"),
    ],
)
def test_rules_that_are_refused(prunable, value):
    with refused("prunable", value):
        init_masks(TREE, prunable)


def test_what_is_no_array_of_floats_is_refused_when_asked_for():
    for leaf, shown in ((0.5, "float"), (jnp.float32(0.5), "float32()"), (jax.nn.relu, "")):
        with refused("prunable", f"leaf is {shown}", "real floating-point arrays"):
            init_masks({"leaf": leaf}, lambda path: True)
    with refused("prunable", "no leaf is prunable"):
        init_masks({"kernel": jnp.ones((2, 2), complex), "bias": jnp.ones(3)})


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.int32])
def test_masking_zeroes_what_is_pruned_and_touches_nothing_else(dtype):
    leaf = jnp.array([[1, -2, 3]]).astype(dtype)
    tree = {"kernel": leaf, "bias": leaf[0]}
    masks = {"kernel": jnp.array([[True, False, True]]), "bias": jnp.array(True)}
    for masked in (apply_masks(tree, masks), jax.jit(apply_masks)(tree, masks)):
        assert masked["kernel"].dtype == dtype
        assert masked["kernel"].tolist() == [[1, 0, 3]]
        assert masked["bias"].tolist() == [1, -2, 3]


def test_masking_is_no_multiplication():
    wild = jnp.array([jnp.nan, jnp.inf, -jnp.inf, -1.0])
    zeroed = apply_masks([wild], [jnp.zeros(4, bool)])[0]
    assert zeroed.tolist() == [0.0] * 4
    assert not jnp.signbit(zeroed).any()
    gradient = jax.grad(lambda w: jnp.sum(apply_masks([w], [jnp.arange(4) == 3])[0] ** 2))(wild)
    assert gradient.tolist() == [0, 0, 0, -2]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_sparsity_is_the_share_of_prunable_weights_that_is_pruned(rows):
    masks = {"scalar": True, "layers": [np.array(row) for row in rows]}
    weights = [kept for row in rows for kept in row]
    np.testing.assert_allclose(
        sparsity(masks), 1 - sum(weights) / len(weights), rtol=1e-6, atol=1e-7
    )
    assert list(layer_counts(masks).values()) == [(len(row), sum(row)) for row in rows]


def test_sparsity_under_jit_and_where_nothing_is_prunable():
    masks = {"kernel": jnp.array([True, False, False, False]), "bias": jnp.array(True)}
    assert jax.jit(sparsity)(masks) == sparsity(masks) == 0.75
    assert sparsity({"bias": jnp.array(True)}) == 0
