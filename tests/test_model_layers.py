"""What the networks are made of: pooling, dropout, compute dtypes, and gradients that reach all."""

import re
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.errors import InvalidRngError

from silo_jax.models import MODELS, create_model
from silo_jax.models.conv_n import ConvN
from silo_jax.models.densenet import DenseNet
from silo_jax.models.layers import max_pool
from silo_jax.models.mobilenet import InvertedResidual
from silo_jax.models.resnet import Bottleneck
from silo_jax.models.vgg import _windows
from silo_jax.training.optimizer import make_optimizer
from silo_jax.training.state import create_state
from silo_jax.training.step import DeviceSplit, train_step
from tests.networks import COLOUR, GREY, KEY, draw, operations, shapes
from tests.tiny import tiny_recipe

# Pooling


@pytest.mark.parametrize(("size", "strides", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (1, 5, 4, 2)])
def test_max_pooling_and_its_gradient_are_those_of_flax(size, strides, padding, shape):
    images = draw(*shape)

    def flax(x):
        sides = ((padding, padding),) * 2
        return nn.max_pool(x, (size, size), strides=(strides, strides), padding=sides)

    value, pullback = jax.vjp(
        partial(max_pool, size=size, strides=strides, padding=padding), images
    )
    expected, pullback_of_flax = jax.vjp(flax, images)
    np.testing.assert_array_equal(value, expected)
    grad = draw(*value.shape)
    np.testing.assert_allclose(pullback(grad)[0], pullback_of_flax(grad)[0], rtol=1e-6, atol=1e-6)


def test_equal_pixels_share_the_gradient_of_max_pooling():
    share = jax.grad(lambda x: max_pool(x, 2, 2).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(share, np.full((1, 2, 2, 1), 0.25))


@pytest.mark.parametrize("size", [1, 2, 6, 7, 8, 13, 14, 50])
def test_windows_of_mean_pooling(size):
    for i, shares in enumerate(_windows(7, size)):
        first, end = int(np.floor(i * size / 7)), int(np.ceil((i + 1) * size / 7))
        expected = [1 / (end - first) if first <= pixel < end else 0 for pixel in range(size)]
        np.testing.assert_allclose(shares, expected)


# Dropout


@pytest.mark.parametrize("head", ["cifar", "imagenet"])
def test_only_the_large_head_of_vgg_has_dropout_and_only_in_training(head):
    model = create_model("vgg16", num_classes=10, head=head)
    variables, images = shapes(model, COLOUR), jnp.zeros((2, *COLOUR))
    training = partial(model.apply, train=True, mutable=["batch_stats"])
    jax.eval_shape(model.apply, variables, images)
    jax.eval_shape(partial(training, rngs={"dropout": KEY}), variables, images)
    if head == "cifar":
        jax.eval_shape(training, variables, images)
    else:
        with pytest.raises(InvalidRngError):
            jax.eval_shape(training, variables, images)


class OnlyDropout(nn.Module):
    """Logits that are one weight each, halved or doubled by dropout."""

    @nn.compact
    def __call__(self, images, train=False):
        logits = self.param("kernel", nn.initializers.ones, (1, 3))
        logits = jnp.broadcast_to(logits, (len(images), 3))
        return nn.Dropout(0.5, deterministic=not train)(logits)


@pytest.mark.parametrize("repeat_data", [False, True])
def test_dropout_follows_from_seed_and_step(repeat_data):
    recipe = tiny_recipe(model=OnlyDropout(), repeat_data=repeat_data)
    data = DeviceSplit(np.zeros((8, 2, 2, 1), np.uint8), np.zeros(8, np.int32))

    step_of_recipe = jax.jit(partial(train_step, recipe))

    def loss_at(step, seed):
        state = create_state(
            recipe.model, recipe.optimizer, seed=seed, image_shape=(2, 2, 1), peaks=[0.1] * 3
        )
        return float(step_of_recipe(state.replace(step=jnp.int32(step)), data)[1].loss)

    assert loss_at(0, seed=0) == loss_at(0, seed=0)
    assert loss_at(0, seed=0) != loss_at(1, seed=0)
    assert loss_at(0, seed=0) != loss_at(0, seed=1)
    a_cycle_later = loss_at(recipe.steps_per_cycle, seed=0)
    assert (loss_at(0, seed=0) == a_cycle_later) == repeat_data


# Compute dtypes

IN_BFLOAT16 = [
    ("mlp", {}, GREY),
    ("lenet5", {}, GREY),
    ("conv2", {}, COLOUR),
    ("resnet20", {"shortcut": "projection"}, COLOUR),
    ("resnet18", {}, COLOUR),
    ("resnet50", {"stem": "cifar"}, COLOUR),
    ("vgg16", {"head": "imagenet"}, COLOUR),
    ("densenet40", {}, COLOUR),
    ("mobilenet_v2", {}, COLOUR),
]


@pytest.mark.parametrize(("name", "options", "image_shape"), IN_BFLOAT16)
def test_all_but_the_last_layer_computes_in_bfloat16(name, options, image_shape):
    model = create_model(name, num_classes=10, dtype="bfloat16", **options)
    *body, last = operations(model, image_shape, "conv_general_dilated", "dot_general")
    taken = {operand.aval.dtype for operation in body for operand in operation.invars}
    assert taken == {jnp.dtype("bfloat16")}
    assert {operand.aval.dtype for operand in last.invars} == {jnp.dtype("float32")}

    training = partial(model.apply, train=True, mutable=["batch_stats"], rngs={"dropout": KEY})
    variables, images = shapes(model, image_shape), jnp.zeros((2, *image_shape))
    logits, moved = jax.eval_shape(training, variables, images)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, moved))} == {jnp.dtype("float32")}
    assert logits.dtype == jnp.float32


def test_bfloat16_is_near_float32_and_its_statistics_nearer():
    exact, rounded = (Bottleneck(4, 2, "relu", "batch", dtype) for dtype in ("float32", "bfloat16"))
    images = draw(8, 8, 8, 3)
    outline = jax.eval_shape(partial(exact.init, train=False), KEY, images)
    variables = jax.tree.map(lambda leaf: draw(*leaf.shape), outline)
    (out, moved), (near, near_moved) = (
        jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))(variables, images)
        for model in (exact, rounded)
    )
    assert near.dtype == jnp.bfloat16
    assert 0 < np.abs(near.astype(jnp.float32) - out).max() < 0.05 * np.abs(out).max()
    var, near_var = (each["batch_stats"]["BatchNorm_0"]["var"] for each in (moved, near_moved))
    np.testing.assert_allclose(near_var, var, rtol=2**-9)


# Training

SMALL = {
    "lenet5": (create_model("lenet5", num_classes=10), (12, 12, 1)),
    "conv": (ConvN(10, depth=4), (4, 4, 3)),
    "densenet": (DenseNet(10, depth=7, growth=4), (8, 8, 3)),
    "densenet_bc": (DenseNet(10, depth=10, growth=4, bottleneck=True), (8, 8, 3)),
    "bottleneck": (Bottleneck(4, 2, "relu", "batch", "float32"), (8, 8, 3)),
    "inverted": (InvertedResidual(4, 6, 1, "float32"), (8, 8, 4)),
    "inverted_strided": (InvertedResidual(6, 6, 2, "float32"), (8, 8, 4)),
}


@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_reaches_every_parameter(name):
    model, image_shape = SMALL[name]
    images = draw(4, *image_shape)
    initial = partial(model.init, train=False)
    outline = jax.eval_shape(initial, KEY, images[:1])
    variables = jax.tree.map(lambda leaf: draw(*leaf.shape) / 3, outline)

    def loss(params):
        out = model.apply(
            variables | {"params": params}, images, train=True, mutable=["batch_stats"]
        )[0]
        return jnp.sum(out * draw(*out.shape))

    for path, grad in jax.tree_util.tree_leaves_with_path(
        jax.jit(jax.grad(loss))(variables["params"])
    ):
        assert np.all(np.isfinite(grad)), path
        assert np.any(grad), path


@pytest.mark.stress
@pytest.mark.parametrize("name", MODELS)
def test_every_network_takes_a_step(name):
    """The loss is finite and all weights move.

    But for ViT's before the head, which starts at 0, and biases that BatchNorm takes away again.
    """
    recipe = replace(
        tiny_recipe(model=create_model(name, num_classes=10), mean=(0.5,) * 3, std=(0.25,) * 3),
        optimizer=make_optimizer("sgd", weight_decay=0.0, momentum=0.0),
    )
    state = create_state(
        recipe.model, recipe.optimizer, seed=0, image_shape=COLOUR, peaks=[0.1, 0.1, 0.1]
    )
    images = np.random.default_rng(0).integers(0, 256, (4, *COLOUR), dtype=np.uint8)
    batch = DeviceSplit(jnp.asarray(images), jnp.arange(4))
    after, sums = jax.jit(partial(train_step, recipe))(state, batch)
    assert np.isfinite(sums.loss)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), state.params, after.params)
    for path, has_moved in jax.tree_util.tree_leaves_with_path(moved):
        name_of_path = jax.tree_util.keystr(path, simple=True, separator="/")
        excused = name.startswith("vit") or re.match(r"Conv_\d+/bias", name_of_path)
        assert np.all(has_moved) or excused, name_of_path
