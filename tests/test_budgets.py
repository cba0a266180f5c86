"""Budgets by expression, target sparsities, reports by layer, and whole channels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import init_masks, plans, prune, prune_and_report, prune_channels, prune_n_m, sparsity
from silo_jax.pruning import layer_counts
from tests.refusals import refused

RNG = np.random.default_rng(0)
SHAPES = {"conv_1": (3, 3, 2, 8), "conv_2": (3, 3, 8, 4), "dense_1": (64, 20), "dense_2": (20, 10)}
PARAMS = {name: jnp.asarray(RNG.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}
MASKS = init_masks(PARAMS)


def kept(masks):
    return {path: count for path, (_, count) in layer_counts(masks).items()}


def of(names):
    return {name: PARAMS[name] for name in names}, {name: MASKS[name] for name in names}


def assert_same(masks, expected):
    for name in expected:
        np.testing.assert_array_equal(masks[name], expected[name], err_msg=name)


@pytest.mark.parametrize("scope", ["global", "layerwise", "erk", "lamp"])
def test_an_expressions_leaves_are_pruned_together_and_apart_from_others(scope):
    masks = prune(PARAMS, MASKS, {"conv": 0.25, "dense_2": 0.5}, scope=scope)
    assert_same(masks, prune(*of(["conv_1", "conv_2"]), 0.25, scope=scope))
    assert_same(masks, prune(*of(["dense_2"]), 0.5, scope=scope))
    assert masks["dense_1"].all()


def test_a_path_stands_for_itself_and_no_leaf_is_under_two_expressions():
    params = {"dense_1": PARAMS["dense_1"], "dense_10": PARAMS["dense_2"]}
    masks = init_masks(params)
    pruned = prune(params, masks, {"dense_1": 0.5, "0$": 0.1})
    assert kept(pruned) == {"dense_1": 640, "dense_10": 180}
    with refused("fraction", "dense_10 matches 'dense' and '0$'", "one expression for a leaf"):
        prune(params, masks, {"dense": 0.5, "0$": 0.1})


def test_fractions_of_expressions_may_be_traced_in_any_order():
    fractions = {"dense": 0.5, "conv": 0.25}  # which jit sorts by their keys
    pruned = jax.jit(partial(prune, scope="layerwise"))(PARAMS, MASKS, fractions)
    assert_same(pruned, prune(PARAMS, MASKS, fractions, scope="layerwise"))


@pytest.mark.parametrize("value", [-1e-9, -0.5, 1.0000001, 2.0])
@pytest.mark.parametrize("name", ["fraction", "target_sparsity"])
def test_traced_shares_are_clipped(name, value):
    pruned = jax.jit(lambda share: prune(PARAMS, MASKS, **{name: share}))(value)
    assert_same(pruned, prune(PARAMS, MASKS, **{name: float(np.clip(value, 0, 1))}))


def test_a_traced_fraction_is_a_float32_and_one_closed_over_is_pythons():
    params = {"w": jnp.arange(1.0, 16)[None]}
    masks = init_masks(params)
    assert kept(jax.jit(lambda: prune(params, masks, 0.3))()) == {"w": 15 - round(15 * 0.3)}
    traced = jax.jit(lambda fraction: prune(params, masks, fraction))(0.3)
    assert kept(traced) == {"w": 15 - round(15 * float(np.float32(0.3)))}
    assert round(15 * 0.3) != round(15 * float(np.float32(0.3)))


@pytest.mark.parametrize("batched", ["fraction", "params", "masks"])
@pytest.mark.parametrize("way", [prune, prune_channels, partial(prune, scope="erk")])
def test_a_batch_over_any_one_argument(way, batched):
    many = {
        "fraction": jnp.array([0.0, 0.25, 0.5]),
        "params": jax.tree.map(lambda w: jnp.stack([w, -w, w[::-1]]), PARAMS),
        "masks": jax.tree.map(lambda m: jnp.stack([m, m, ~m]), MASKS),
    }[batched]
    rest = {"fraction": 0.3, "params": PARAMS, "masks": MASKS}
    pruned = jax.vmap(lambda one: way(**{**rest, batched: one}))(many)
    for i in range(3):
        expected = way(**{**rest, batched: jax.tree.map(lambda leaf, i=i: leaf[i], many)})
        assert_same(jax.tree.map(lambda leaf, i=i: leaf[i], pruned), expected)


@pytest.mark.parametrize("scope", ["global", "layerwise", "erdos_renyi", "erk", "lamp"])
def test_nothing_relies_on_implicit_promotion_of_types(scope):
    params = PARAMS | {"half": jnp.ones((4, 8), jnp.bfloat16)}
    masks = init_masks(params)
    with jax.numpy_dtype_promotion("strict"):
        prune_and_report(params, masks, jnp.bfloat16(0.5), scope=scope)
        prune_channels(params, masks, 0.3)
        prune_n_m({"w": params["half"]}, {"w": masks["half"]}, 2, 4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_target_sparsity_is_reached_exactly_and_never_left_behind(targets, min_kept):
    masks = MASKS
    size = left = sum(kept(masks).values())
    for target in targets:
        masks = prune(PARAMS, masks, target_sparsity=target, min_kept=max(min_kept, 1))
        left = max(min(left, size - round(target * size)), max(min_kept, 1) * len(SHAPES))
        assert sum(kept(masks).values()) == left


def test_a_plan_is_followed_inside_a_compiled_loop():
    plan = plans.cubic(6, 0.9)

    def cycle(masks, target):
        masks = prune(PARAMS, masks, target_sparsity=target)
        return masks, sparsity(masks)

    _, reached = jax.jit(lambda plan: jax.lax.scan(cycle, MASKS, plan))(plan)
    size = sum(weight.size for weight in PARAMS.values())
    np.testing.assert_allclose(reached, plan, atol=0.5 / size + 1e-6)


def test_a_target_by_layer():
    masks = prune(PARAMS, MASKS, 0.5)
    masks = prune(PARAMS, masks, target_sparsity={"dense": 0.9, "conv": 0.0}, scope="layerwise")
    assert [kept(masks)[name] for name in ("dense_1", "dense_2")] == [128, 20]
    assert_same(masks, {name: prune(PARAMS, MASKS, 0.5)[name] for name in ("conv_1", "conv_2")})


@pytest.mark.parametrize(
    ("arguments", "field", "shown"),
    [
        ({"fraction": 0.1, "target_sparsity": 0.1}, "fraction", "0.1 with target_sparsity=0.1"),
        ({"target_sparsity": 1.5}, "target_sparsity", "1.5"),
        ({"fraction": {"conv": 0.1, "attention": 0.1}}, "fraction", "'attention' matches no leaf"),
        ({"fraction": {"conv(": 0.1}}, "fraction", "'conv('"),
        ({"fraction": {"conv": -0.1}}, "fraction['conv']", "-0.1"),
        ({"fraction": {"conv": [0.1]}}, "fraction['conv']", "shape (1,)"),
        ({"fraction": 0.1, "min_kept": 1.5}, "min_kept", "1.5"),
    ],
)
def test_refused(arguments, field, shown):
    with refused(field, shown):
        prune(PARAMS, MASKS, **arguments)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_the_report_tells_what_is_left_of_each_layer(wrap):
    start = prune(PARAMS, MASKS, 0.3)
    masks, report = wrap(partial(prune_and_report, fraction=0.4, criterion=squared))(PARAMS, start)
    assert_same(masks, prune(PARAMS, start, 0.4))
    assert list(report) == list(SHAPES)
    for name, layer in report.items():
        left = np.abs(PARAMS[name])[np.asarray(masks[name])]
        assert (layer.size, layer.kept) == (PARAMS[name].size, left.size)
        np.testing.assert_allclose(layer.density, left.size / layer.size, rtol=1e-6)
        np.testing.assert_allclose(layer.smallest_kept_score, left.min() ** 2, rtol=1e-6)


def squared(params):
    return jax.tree.map(jnp.square, params)


def test_the_report_of_a_layer_that_is_gone():
    params = {"a": jnp.ones((2, 2)), "b": jnp.zeros((2, 2)), "rate": jnp.ones(())}
    with pytest.warns(UserWarning, match=r"^prune: no weight is left in b$"):
        _, report = prune_and_report(params, init_masks(params), 0.5, min_kept=0)
    assert list(report) == ["a", "b"]
    assert (report["b"].kept, report["b"].density) == (0, 0)
    assert np.isinf(report["b"].smallest_kept_score)


@pytest.mark.parametrize("scope", ["global", "layerwise"])
@pytest.mark.parametrize("output_axis", [-1, 0])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_channels_go_whole_by_their_mean_score(scope, output_axis, fraction):
    masks = {name: mask & (RNG.random(mask.shape) < 0.8) for name, mask in MASKS.items()}
    pruned = prune_channels(
        PARAMS, masks, fraction, scope=scope, output_axis=output_axis, min_kept=2
    )
    means = {
        name: np.moveaxis(np.where(masks[name], np.abs(PARAMS[name]), 0), output_axis, 0)
        .reshape(PARAMS[name].shape[output_axis], -1)
        .mean(1)
        for name in SHAPES
    }
    going = {name: set() for name in SHAPES}
    for names in [list(SHAPES)] if scope == "global" else [[name] for name in SHAPES]:
        spare = sorted(
            (mean, name, channel)
            for name in names
            for channel, mean in enumerate(means[name])
            if channel not in np.argsort(means[name])[-2:]
        )
        total = sum(len(means[name]) for name in names)
        for _, name, channel in spare[: round(fraction * total)]:
            going[name].add(channel)
    for name, mask in pruned.items():
        expected = np.moveaxis(np.array(masks[name]), output_axis, 0)
        expected[list(going[name])] = False
        np.testing.assert_array_equal(np.moveaxis(np.asarray(mask), output_axis, 0), expected)


def test_channels_pruned_before_count_no_more():
    params = {"kernel": jnp.arange(1.0, 21).reshape(2, 10)}
    masks = init_masks(params)
    for left in (8, 6, 5, 4):
        masks = prune_channels(params, masks, 0.2)
        assert masks["kernel"].tolist() == [[False] * (10 - left) + [True] * left] * 2


def test_channels_refuse_an_axis_that_a_leaf_has_not():
    with refused("output_axis", "3", "an axis of dense_1, (64, 20)"):
        prune_channels(*of(["dense_1"]), 0.2, output_axis=3)
    with refused("scope", "'erk'"):
        prune_channels(PARAMS, MASKS, 0.2, scope="erk")
