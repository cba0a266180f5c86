"""Widths of gradients and representations: closed forms, laws of scaling, living weights alone."""

from functools import cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from scipy import stats

from silo_jax import apply_masks, diagnostics
from silo_jax.diagnostics import (
    gradient_width,
    histogram,
    living_gradients,
    representations,
    spread,
)
from silo_jax.models import create_model
from silo_jax.models.layers import Activation
from silo_jax.training.state import create_state
from tests.tiny import tiny_data, tiny_recipe, tiny_state

WIDTHS = jax.jit(gradient_width, static_argnums=0)


def new_network(**options):
    """Recipe and state of a network of three dense layers; its biases are 0."""
    recipe = tiny_recipe(model=create_model("mlp", num_classes=3, **{"hidden": (7, 5)} | options))
    return recipe, tiny_state(recipe)


network = cache(new_network)  # so that one program serves several tests


def scaled(state, **factors):
    """The state with the kernels of some layers multiplied."""
    params = flatten_dict(state.params, sep="/")
    for layer, factor in factors.items():
        params[f"{layer}/kernel"] = factor * params[f"{layer}/kernel"]
    return state.replace(params=unflatten_dict(params, sep="/"))


def masked(state, share=0.5, seed=0):
    """The state under masks that keep about a share of every prunable leaf."""
    random = np.random.default_rng(seed)
    masks = jax.tree.map(
        lambda mask: jnp.asarray(random.random(mask.shape) < share) if mask.ndim else mask,
        state.masks,
    )
    return state.replace(masks=masks)


@pytest.mark.parametrize("shape", [(1,), (1000,), (11, 5, 3)])
def test_the_spread_is_that_of_numpy_and_scipy(shape):
    values = np.random.default_rng(0).gamma(0.7, size=shape).astype(np.float32) - 0.3
    found = spread(values)
    assert found.num_values == values.size
    exact = values.astype(float).ravel()
    np.testing.assert_allclose(found.std, np.sqrt(stats.moment(exact, 2)))
    np.testing.assert_allclose(found.middle_90, stats.iqr(exact, rng=(5, 95)))
    np.testing.assert_allclose(found.mean_size, np.abs(exact).mean())


def test_what_is_not_there_has_no_spread():
    assert spread([]).num_values == 0
    assert np.isnan(spread([])[1:]).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e3, 1e8])
def test_a_histogram_counts_every_value_in_its_bin(scale):
    values = np.random.default_rng(1).normal(size=500) * scale
    values[:9] = 0.0
    left, right, counts = histogram(values)
    assert counts.sum() == 500
    assert counts.min() > 0
    assert set(left) | set(right) <= set(diagnostics._EDGES)
    inside = np.clip(values, -1e4, np.nextafter(1e4, 0))
    for low, high, count in zip(left, right, counts, strict=True):
        assert count == np.sum((inside >= low) & (inside < high))
    assert counts[left == 0] == np.sum((values >= 0) & (values < 1e-8))


def test_a_histogram_leaves_out_what_is_not_finite():
    assert histogram([1.0, np.nan, np.inf, -np.inf]).counts.tolist() == [1]


@pytest.mark.parametrize("layer", [0, 1])
def test_representations_of_a_relu_network_scale_with_the_kernels_before_them(layer):
    """A power of two is exact. Earlier layers are not touched, later ones scale as well."""
    recipe, state = network()
    before = representations(recipe, state, tiny_data())
    after = representations(recipe, scaled(state, **{f"Dense_{layer}": 4.0}), tiny_data())
    assert list(before) == ["Activation_0", "Activation_1"]
    for index, name in enumerate(before):
        factor = 4.0 if index >= layer else 1.0
        for side in ("before", "after"):
            expected = factor * getattr(before[name], side)
            np.testing.assert_array_equal(getattr(after[name], side), expected)


def test_representations_of_a_tanh_network_saturate():
    recipe, state = network(activation="tanh")
    plain = representations(recipe, state, tiny_data())
    wide = representations(recipe, scaled(state, Dense_0=4.0), tiny_data())
    np.testing.assert_array_equal(wide["Activation_0"].before, 4 * plain["Activation_0"].before)
    for units in (plain, wide):
        for layer in units.values():
            np.testing.assert_allclose(layer.after, np.tanh(layer.before), atol=1e-6)
    assert spread(wide["Activation_0"].after).std < 2 * spread(plain["Activation_0"].after).std


def test_gradients_of_a_relu_network_scale_against_the_kernels():
    """Four times one layer and a quarter of another are the same function."""
    recipe, state = network()
    plain = living_gradients(recipe, state, tiny_data())
    same = living_gradients(recipe, scaled(state, Dense_0=4.0, Dense_2=0.25), tiny_data())
    factors = {"Dense_0/kernel": 0.25, "Dense_1/kernel": 1.0, "Dense_2/kernel": 4.0}
    assert plain.keys() == factors.keys()
    for layer, factor in factors.items():
        np.testing.assert_allclose(same[layer], factor * plain[layer], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(
            spread(same[layer])[1:], factor * np.array(spread(plain[layer])[1:]), rtol=1e-5
        )


class Linear(nn.Module):
    """Softmax regression."""

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int = 3

    @nn.compact
    def __call__(self, images, train=False):
        return nn.Dense(self.num_classes)(images.reshape(len(images), -1))


def test_gradients_of_softmax_regression_in_numpy():
    recipe = tiny_recipe(model=Linear())
    state, batch = masked(tiny_state(recipe)), tiny_data()
    images = (np.asarray(batch.images, float) / 255 - 0.5) / 0.25
    x, y = images.reshape(len(images), -1), np.eye(3)[batch.labels]
    mask = np.asarray(state.masks["Dense_0"]["kernel"])
    scores = np.exp(x @ np.where(mask, state.params["Dense_0"]["kernel"], 0))
    expected = x.T @ (scores / scores.sum(1, keepdims=True) - y) / len(x)
    (found,) = living_gradients(recipe, state, batch).values()
    np.testing.assert_allclose(found, expected[mask], rtol=1e-4, atol=1e-7)
    width = float(WIDTHS(recipe, state, batch))
    np.testing.assert_allclose(width, expected[mask].std(), rtol=1e-5)
    assert representations(recipe, state, batch) == {}


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_living_weights_alone_have_gradients(share):
    recipe, state = network()
    state, batch = masked(state, share), tiny_data()
    found = living_gradients(recipe, state, batch)
    kept = {k: int(m.sum()) for k, m in flatten_dict(state.masks, sep="/").items() if m.ndim}
    assert {layer: len(gradient) for layer, gradient in found.items()} == kept
    together = np.concatenate(list(found.values()), dtype=float)
    np.testing.assert_allclose(WIDTHS(recipe, state, batch), together.std(), rtol=1e-5)
    # What a pruned weight holds does not matter.
    clean = state.replace(params=apply_masks(state.params, state.masks))
    for layer, gradient in living_gradients(recipe, clean, batch).items():
        np.testing.assert_array_equal(gradient, found[layer])


def test_a_layer_without_weights_has_no_gradient():
    recipe, state = network()
    masks = state.masks | {"Dense_1": {"bias": jnp.array(True), "kernel": jnp.zeros((7, 5), bool)}}
    state = state.replace(masks=masks)
    assert living_gradients(recipe, state, tiny_data())["Dense_1/kernel"].shape == (0,)
    units = representations(recipe, state, tiny_data())
    assert not units["Activation_1"].before.any()


class Normalised(nn.Module):
    """A network that has BatchNorm before its activation."""

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Dense(6)(images.reshape(len(images), -1))
        return nn.Dense(3)(Activation("gelu")(nn.BatchNorm(use_running_average=not train)(x)))


def test_batch_norm_normalises_by_the_batch():
    recipe = tiny_recipe(model=Normalised())
    state = tiny_state(recipe)
    shifted = state.replace(batch_stats=jax.tree.map(lambda x: x + 3, state.batch_stats))
    units = representations(recipe, state, tiny_data())["Activation_0"]
    np.testing.assert_allclose(units.before.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(units.before.std(0), 1, atol=1e-2)
    other = representations(recipe, shifted, tiny_data())["Activation_0"]
    np.testing.assert_array_equal(units.before, other.before)


@pytest.mark.parametrize(("most", "num_images"), [(10**6, 21), (12 * 5, 5), (12, 1), (1, 1)])
def test_of_large_networks_all_units_of_the_first_images(monkeypatch, most, num_images):
    recipe, state = network()  # 12 hidden units
    whole = representations(recipe, state, tiny_data())
    monkeypatch.setattr(diagnostics, "_MOST_UNITS", most)
    recipe, _ = new_network()  # is compiled anew
    for name, units in representations(recipe, state, tiny_data()).items():
        np.testing.assert_array_equal(units.before, whole[name].before[:num_images])
        np.testing.assert_array_equal(units.after, whole[name].after[:num_images])


@pytest.mark.parametrize("options", [{}, {"activation": "tanh", "norm": "none"}])
def test_every_activation_of_a_residual_network_is_seen(options):
    model = create_model("resnet20", num_classes=3, **options)
    recipe = tiny_recipe(model=model, mean=(0.5,) * 3, std=(0.2,) * 3)
    state = jax.eval_shape(
        lambda: create_state(
            model, recipe.optimizer, seed=0, image_shape=(8, 8, 3), peaks=[0.1], prunable=None
        )
    )
    images = jax.ShapeDtypeStruct((4, 8, 8, 3), jnp.uint8)
    batch = diagnostics.DeviceSplit(images, jax.ShapeDtypeStruct((4,), jnp.int32))
    sown = jax.eval_shape(lambda s, b: diagnostics._activations(recipe, s, b), state, batch)
    names = flatten_dict(sown, sep="/")
    assert len(names) == 2 * 19  # the stem's, and two of each of nine blocks
    shapes = [leaf.shape for leaf in names.values()]
    assert sorted(set(shapes)) == [(4, 2, 2, 64), (4, 4, 4, 32), (4, 8, 8, 16)]
