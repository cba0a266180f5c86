"""Lookahead against what the linear map of a network loses with each weight."""

from functools import reduce
from itertools import pairwise

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax.pruning.criteria import lookahead
from tests.refusals import refused

RNG = np.random.default_rng(0)
KEY = jax.random.key(3)


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def lost_without_each_weight(linear_map, kernels, place):
    """By how much the map changes, in Frobenius norm, when a weight of one kernel is set to 0."""
    whole, kernel = linear_map(kernels), np.asarray(kernels[place])
    lost = np.empty(kernel.shape)
    for index in np.ndindex(kernel.shape):
        changed = kernel.copy()
        changed[index] = 0
        left = linear_map([*kernels[:place], changed, *kernels[place + 1 :]])
        lost[index] = np.linalg.norm(np.ravel(left - whole))
    return lost


@pytest.mark.parametrize(
    ("widths", "dtype"),
    [([4, 3], "float16"), ([2, 5, 3], "bfloat16"), ([3, 1, 4, 2, 3], "float32")],
)
def test_lookahead_of_dense_layers_is_what_the_product_of_three_loses(widths, dtype):
    kernels = [jnp.asarray(draw(*pair), dtype) for pair in pairwise(widths)]
    paths = [f"layers/{i}" for i in range(len(kernels))]
    scores = lookahead({"layers": kernels}, [paths])["layers"]
    transposed = {"layers": [kernel.T for kernel in kernels]}
    for i, score in enumerate(lookahead(transposed, [paths], axes=(1, 0))["layers"]):
        np.testing.assert_allclose(score.T, scores[i], rtol=1e-6)

    wide = [np.asarray(kernel, np.float64) for kernel in kernels]
    for i, score in enumerate(scores):
        window, place = wide[max(0, i - 1) : i + 2], min(i, 1)
        expected = lost_without_each_weight(lambda window: reduce(np.matmul, window), window, place)
        assert score.dtype == jnp.float32
        np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-6)


class LinenNetwork(nn.Module):
    """Convolutions of 1×1 and a dense layer over all that they put out, without biases."""

    num_convs: int

    @nn.compact
    def __call__(self, images):
        for i in range(self.num_convs):
            images = nn.Conv(3 + i, (1, 1), use_bias=False)(images)
        return nn.Dense(2, use_bias=False)(images.reshape(images.shape[0], -1))


class EquinoxNetwork(eqx.Module):
    """The same, channels first."""

    convs: list[eqx.nn.Conv2d]
    last: eqx.nn.Linear

    def __call__(self, image):
        for conv in self.convs:
            image = conv(image)
        return self.last(image.ravel())


def linen_network(num_convs):
    model, images = LinenNetwork(num_convs), jnp.eye(12).reshape(12, 3, 2, 2)
    params = model.init(KEY, images)["params"]
    paths = [*(f"Conv_{i}/kernel" for i in range(num_convs)), "Dense_0/kernel"]
    return params, paths, (-2, -1), lambda params: model.apply({"params": params}, images)


def equinox_network(num_convs):
    keys = jax.random.split(KEY, num_convs + 1)
    convs = [
        eqx.nn.Conv2d(2 + i, 3 + i, 1, use_bias=False, key=key) for i, key in enumerate(keys[1:])
    ]
    module = EquinoxNetwork(
        convs, eqx.nn.Linear((2 + num_convs) * 6, 2, use_bias=False, key=keys[0])
    )
    paths = [*(f"convs/{i}/weight" for i in range(num_convs)), "last/weight"]
    images = jnp.eye(12).reshape(12, 2, 3, 2)
    return module, paths, (1, 0), lambda module: jax.vmap(module)(images)


@pytest.mark.parametrize("network", [linen_network, equinox_network])
@pytest.mark.parametrize(("num_convs", "place"), [(1, 0), (1, 1), (2, 1)])
def test_lookahead_is_what_a_network_loses_whose_features_are_flattened(network, num_convs, place):
    params, paths, axes, outputs = network(num_convs)
    kernels, structure = jax.tree.flatten(params)
    scores = jax.tree.leaves(lookahead(params, [paths], axes=axes))
    linear_map = jax.jit(lambda kernels: outputs(jax.tree.unflatten(structure, kernels)))
    expected = lost_without_each_weight(linear_map, kernels, place)
    np.testing.assert_allclose(scores[place], expected, rtol=1e-4)


def test_lookahead_of_two_wide_convolutions_is_what_they_lose_a_pixel():
    """Circular, so that every pixel loses the same."""
    images = jnp.eye(60).reshape(60, 6, 5, 2)
    convs = [nn.Conv(c, (3, 3), padding="CIRCULAR", use_bias=False) for c in (3, 2)]
    model = nn.Sequential(convs)
    params = model.init(KEY, images)["params"]
    kernels = [params[f"layers_{i}"]["kernel"] for i in range(2)]

    @jax.jit
    def linear_map(kernels):
        params = {f"layers_{i}": {"kernel": kernel} for i, kernel in enumerate(kernels)}
        return model.apply({"params": params}, images)

    scores = lookahead(params, [["layers_0/kernel", "layers_1/kernel"]])
    for place in range(2):
        expected = lost_without_each_weight(linear_map, kernels, place) / np.sqrt(30)
        np.testing.assert_allclose(scores[f"layers_{place}"]["kernel"], expected, rtol=1e-4)


def test_lookahead_of_pooled_features_of_other_chains_and_of_no_chain():
    params = {
        "conv": draw(3, 3, 2, 4),
        "dense": draw(4, 5),
        "other": {"a": draw(2, 3), "b": draw(3, 1)},
        "alone": draw(6, 6),
        "bias": draw(4),
    }
    chains = [["conv", "dense"], ["other/a", "other/b"]]
    scores = lookahead(params, chains)
    filters = np.sqrt((params["conv"].astype(float) ** 2).sum((0, 1, 2)))
    np.testing.assert_allclose(scores["dense"], np.abs(params["dense"]) * filters[:, None], 1e-5)
    units = np.linalg.norm(params["other"]["a"], axis=0)
    expected = np.abs(params["other"]["b"]) * units[:, None]
    np.testing.assert_allclose(scores["other"]["b"], expected, 1e-5)
    for name in ("alone", "bias"):
        np.testing.assert_array_equal(scores[name], np.abs(params[name]))
    traced = jax.jit(lambda params: lookahead(params, chains))(params)
    for score, same in zip(*map(jax.tree.leaves, (scores, traced)), strict=True):
        np.testing.assert_allclose(score, same, 1e-5)


def test_lookahead_scores_0_what_leads_to_a_dead_unit():
    params = [draw(4, 3), draw(3, 2)]
    params[1][1] = 0
    before, after = lookahead(params, [["0", "1"]])
    assert (np.asarray(before) > 0).all(0).tolist() == [True, False, True]
    assert (np.asarray(after) > 0).all(1).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("chains", "value", "allowed"),
    [
        ([["a/kernel", "b/kernl"]], "'b/kernl'", "a/bias, a/kernel, b/kernel, conv, grouped, odd"),
        ([["a/kernel", "b/kernel", "a/kernel"]], "'a/kernel' twice", "every path once"),
        ([["a/kernel"], ["a/kernel"]], "'a/kernel' twice", "every path once"),
        (["a/kernel", "b/kernel"], "'a/kernel'", "sequences of paths"),
        ([["a/bias", "b/kernel"]], "'a/bias' is no kernel", "two or more dimensions"),
        (
            [["b/kernel", "a/kernel"]],
            "b/kernel has 6 outputs, but a/kernel has 2 inputs",
            "as many",
        ),
        ([["a/kernel", "odd"]], "a/kernel has 3 outputs, but odd has 6 inputs", "as many"),
        ([["conv", "grouped"]], "conv has 3 outputs, but grouped has 6 inputs", "as many"),
        ([["conv", "a/kernel"]], "conv has 3 outputs, but a/kernel has 2 inputs", "as many"),
    ],
)
def test_chains_that_are_refused(chains, value, allowed):
    params = {
        "a": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
        "b": {"kernel": jnp.ones((3, 6))},
        "odd": jnp.ones((6, 1)),
        "conv": jnp.ones((3, 3, 2, 3)),
        "grouped": jnp.ones((3, 3, 6, 4)),
    }
    with refused("chains", value, allowed):
        lookahead(params, chains)
    with refused("axes", "(0, 1)", "(-2, -1) or (1, 0)"):
        lookahead(params, [["a/kernel", "b/kernel"]], axes=(0, 1))
