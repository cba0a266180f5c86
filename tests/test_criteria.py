"""Criteria against NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import init_masks, prune
from silo_jax.pruning.checked import criterion_function
from silo_jax.pruning.criteria import (
    CRITERIA,
    lookahead,
    magnitude,
    magnitude_movement,
    movement,
    random,
    saliency,
)
from tests.refusals import refused
from tests.trees import WRAPPERS

RNG = np.random.default_rng(0)
KEY = jax.random.key(3)
DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
# Criteria of two trees with what they compute, and the name of the second.
PAIRS = {
    movement: (lambda w, other: np.abs(w - other), "reference"),
    magnitude_movement: (lambda w, other: np.abs(w) * np.abs(w - other), "reference"),
    saliency: (lambda w, other: np.abs(w * other), "gradients"),
}
VALUES = st.one_of(st.sampled_from([0.0, 300.0, -300.0, 6e4, 1e-4, -1e-7]), st.floats(-1e3, 1e3))


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("criterion", PAIRS)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6), st.sampled_from(DTYPES))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_scores_of_two_trees_are_numpys_in_every_precision(criterion, pairs, dtype):
    w, other = (jnp.asarray(column, dtype) for column in zip(*pairs, strict=True))
    scores = criterion([w], [other])[0]
    assert scores.dtype == jnp.float32
    expected = PAIRS[criterion][0](np.asarray(w, np.float64), np.asarray(other, np.float64))
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("dtype", DTYPES)
def test_magnitudes_keep_their_type(dtype):
    scores = magnitude({"w": jnp.array([-2.5, 0, 1], dtype), "steps": 7})
    assert scores["w"].dtype == dtype
    assert scores["w"].tolist() == [2.5, 0, 1]
    assert scores["steps"] == 7


@pytest.mark.parametrize("kind", WRAPPERS)
def test_trees_of_every_kind_are_scored_leaf_by_leaf(kind):
    wrap = WRAPPERS[kind]
    weights, others = (draw(2, 3), draw(3)), (draw(2, 3), draw(3))
    params = wrap(*weights)
    magnitudes = [np.abs(weight) for weight in weights]
    pairs = [
        (criterion(params, wrap(*others)), map(formula, weights, others))
        for criterion, (formula, _) in PAIRS.items()
    ]
    for scores, expected in [
        (magnitude(params), magnitudes),
        (lookahead(params, []), magnitudes),
        *pairs,
    ]:
        expected = wrap(*expected)
        assert jax.tree.structure(scores) == jax.tree.structure(expected)
        for score, wanted in zip(*map(jax.tree.leaves, (scores, expected)), strict=True):
            assert score is wanted or np.allclose(score, wanted, rtol=1e-6)
    drawn = random(params, KEY)
    assert jax.tree.structure(drawn) == jax.tree.structure(params)
    assert list(map(np.shape, jax.tree.leaves(drawn))) == list(
        map(np.shape, jax.tree.leaves(params))
    )


def test_gradients_of_an_equinox_module_need_no_entries_for_its_functions():
    module = eqx.nn.MLP(2, 3, 4, depth=1, key=KEY)
    gradients = eqx.filter_grad(lambda module: jnp.sum(module(jnp.ones(2)) ** 2))(module)
    scores = saliency(module, gradients)
    assert jax.tree.structure(scores) == jax.tree.structure(module)
    expected = np.abs(module.layers[0].weight * gradients.layers[0].weight)
    np.testing.assert_allclose(scores.layers[0].weight, expected, rtol=1e-6)


@pytest.mark.parametrize("criterion", PAIRS)
def test_a_second_tree_that_does_not_fit_is_refused(criterion):
    name = PAIRS[criterion][1]
    params = {"a": jnp.ones((2, 3)), "b": {"c": jnp.ones(3)}}
    with refused(name, "a structure other than that of params", "the same tree"):
        criterion(params, {"a": jnp.ones((2, 3))})
    with refused(name, "b/c has the shape (1,)", "(3,)"):
        criterion(params, {"a": jnp.ones((2, 3)), "b": {"c": jnp.ones(1)}})
    with refused(name, "a has the shape None", "(2, 3)"):
        criterion(params, {"a": None, "b": {"c": jnp.ones(3)}})


def test_criteria_by_name():
    assert criterion_function("magnitude") is CRITERIA["magnitude"] is magnitude
    assert criterion_function(lookahead) is lookahead
    with refused("criterion", "'magnitud'", "magnitude (did you mean 'magnitude'?)"):
        criterion_function("magnitud")


def test_random_scores_are_uniform_independent_and_the_same_under_jit():
    params = {"a": jnp.zeros((100, 50)), "b": jnp.full((100, 50), jnp.nan), "c": jnp.ones(7)}
    scores = random(params, KEY)
    for score, same in zip(*map(jax.tree.leaves, (scores, jax.jit(random)(params, KEY)))):  # noqa: B905
        np.testing.assert_array_equal(score, same)
    for name in "ab":
        deciles = np.histogram(scores[name], bins=10, range=(0, 1))[0]
        assert deciles.sum() == 5000
        assert (abs(deciles - 500) < 5 * np.sqrt(450)).all()
    correlation = np.corrcoef(np.ravel(scores["a"]), np.ravel(scores["b"]))[0, 1]
    assert abs(correlation) < 5 / np.sqrt(5000)
    assert not np.isin(random(params, jax.random.key(4))["c"], scores["c"]).any()


def test_criteria_prune_through_a_closure():
    params, reference = {"kernel": draw(6, 5)}, {"kernel": draw(6, 5)}
    pruned = prune(
        params, init_masks(params), 0.5, criterion=lambda params: movement(params, reference)
    )
    moved = np.abs(params["kernel"] - reference["kernel"])
    np.testing.assert_array_equal(pruned["kernel"], moved > np.sort(moved.ravel())[14])
