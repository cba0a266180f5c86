"""What the networks compute, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax import apply_masks, init_masks
from silo_jax.models import create_model
from silo_jax.models.resnet_cifar import ResidualBlock, ResNetCifar

KEY = jax.random.key(0)


def draw(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def shapes_of_params(model, images):
    return jax.eval_shape(model.init, KEY, images)["params"]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("strides", [1, 2])
def test_identity_shortcut_passes_the_input_through(strides, train):
    images = draw(3, 7, 6, 4)
    channels = 4 * strides
    block = ResidualBlock(channels, strides, "identity")
    variables = block.init(KEY, images, train)
    masks = jax.tree.map(jnp.zeros_like, init_masks(variables["params"]))
    variables = variables | {"params": apply_masks(variables["params"], masks)}
    out, _ = block.apply(variables, images, train, mutable=["batch_stats"])
    added = (channels - 4) // 2
    expected = np.pad(images[:, ::strides, ::strides], [(0, 0)] * 3 + [(added, added)])
    np.testing.assert_allclose(out, np.maximum(expected, 0))


def test_projection_shortcut_is_a_strided_product_over_channels():
    images = draw(3, 7, 6, 4)
    block = ResidualBlock(8, 2, "projection")
    params, statistics = (block.init(KEY, images, False)[c] for c in ("params", "batch_stats"))
    for name in ("Conv_0", "Conv_1"):
        params[name]["kernel"] = jnp.zeros_like(params[name]["kernel"])
    out = block.apply({"params": params, "batch_stats": statistics}, images, False)
    expected = images[:, ::2, ::2] @ params["conv_shortcut"]["kernel"][0, 0] / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(out, np.maximum(expected, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shortcut", ["identity", "projection"])
def test_second_and_third_stage_halve_the_image(shortcut):
    def blocks(key):
        model, images = ResNetCifar(10, depth=14, shortcut=shortcut), jnp.zeros((2, 32, 30, 3))
        variables = model.init(key, images)
        return model.apply(variables, images, capture_intermediates=True)[1]["intermediates"]

    seen = jax.eval_shape(blocks, KEY)
    sizes = [seen[f"ResidualBlock_{i}"]["__call__"][0].shape[1:] for i in range(6)]
    assert sizes == [(32, 30, 16)] * 2 + [(16, 15, 32)] * 2 + [(8, 8, 64)] * 2


def test_mlp_is_products_and_relu():
    model, images = create_model("mlp", num_classes=10, hidden=(48, 24)), draw(3, 8, 8, 1)
    params = jax.tree.map(lambda leaf: draw(*leaf.shape) / 4, shapes_of_params(model, images))
    x = images.reshape(3, -1).astype(np.float64)
    for i in range(3):
        x = np.maximum(x, 0) if i else x
        x = x @ params[f"Dense_{i}"]["kernel"] + params[f"Dense_{i}"]["bias"]
    np.testing.assert_allclose(model.apply({"params": params}, images), x, rtol=1e-4, atol=1e-4)


def test_lenet5_pools_the_maxima_of_two_by_two_pixels():
    """With convolutions that copy, the second one shows the first one's pooled output."""
    model, images = create_model("lenet5", num_classes=10), draw(2, 28, 28, 1)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, "f"), shapes_of_params(model, images))
    params["Conv_0"]["kernel"][2, 2, 0, 0] = params["Conv_1"]["kernel"][0, 4, 0, 0] = 1
    _, seen = model.apply({"params": params}, images, capture_intermediates=True)
    out = seen["intermediates"]["Conv_1"]["__call__"][0]
    pooled = np.maximum(images, 0).reshape(2, 14, 2, 14, 2).max((2, 4))
    np.testing.assert_array_equal(out[..., 0], pooled[:, :10, 4:])
