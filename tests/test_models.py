"""The networks: sizes, shapes, refusals, initial weights, BatchNorm, and what is prunable."""

from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from silo_jax import init_masks
from silo_jax.models import MODELS, create_model, model_options
from silo_jax.models.resnet_cifar import ResNetCifar
from silo_jax.pruning import layer_counts
from tests.networks import COLOUR, DIGITS, GREY, KEY, draw, random_variables, shapes, size
from tests.refusals import refused

NETWORKS = {
    "mlp": (create_model("mlp", num_classes=10, hidden=(48, 24)), DIGITS),
    "lenet5": (create_model("lenet5", num_classes=10), GREY),
    "identity": (ResNetCifar(10, depth=8), (16, 16, 3)),
    "projection": (ResNetCifar(10, depth=8, shortcut="projection"), (16, 16, 3)),
}
RESNETS = ["identity", "projection"]


@cache
def variables_of(name):
    return random_variables(*NETWORKS[name])


@pytest.fixture(params=NETWORKS)
def network(request):
    """A network, its variables and three images."""
    model, image_shape = NETWORKS[request.param]
    return model, variables_of(request.param), draw(3, *image_shape)


@pytest.fixture(params=RESNETS)
def resnet(request):
    model, image_shape = NETWORKS[request.param]
    return model, variables_of(request.param), draw(3, *image_shape)


# Sizes


def dense_size(*widths):
    return sum((before + 1) * after for before, after in pairwise(widths))


def resnet_kernels(depth, shortcut, channels_in=3, num_classes=10):
    """Weights in kernels: a stage of width w has depth/3 − 2/3 convolutions of 9w², the first of
    which has only w/2 channels coming in unless it is the first stage."""
    per_stage = (depth - 2) // 3
    total = 9 * channels_in * 16 + 64 * num_classes
    for width in (16, 32, 64):
        total += per_stage * 9 * width**2
        if width > 16:
            total -= 9 * width**2 // 2
            total += width**2 // 2 if shortcut == "projection" else 0
    return total


def resnet_others(depth, shortcut, num_classes=10):
    """Scales and biases of BatchNorm, a pair for every convolution's channel, and the last bias."""
    channels = 16 + (depth - 2) // 3 * (16 + 32 + 64)
    if shortcut == "projection":
        channels += 32 + 64
    return 2 * channels + num_classes


def test_lenets_have_the_published_numbers_of_parameters():
    lenet_300_100 = shapes(create_model("lenet_300_100", num_classes=10), GREY)
    assert size(lenet_300_100) == dense_size(784, 300, 100, 10) == 266_610
    lenet5 = shapes(create_model("lenet5", num_classes=10), GREY)
    convolutions = (25 + 1) * 6 + (25 * 6 + 1) * 16
    assert size(lenet5) == convolutions + dense_size(16 * 5 * 5, 120, 84, 10) == 61_706


@pytest.mark.parametrize("hidden", [(300, 100), (48, 24), (7,), [5, 6, 7]])
def test_mlp_size(hidden):
    variables = shapes(create_model("mlp", num_classes=3, hidden=hidden), (8, 6, 2))
    assert size(variables) == dense_size(96, *hidden, 3)


@pytest.mark.parametrize(
    ("depth", "shortcut", "published"),
    [
        (20, "identity", 269_722),
        (20, "projection", 272_474),
        (32, "identity", 464_154),
        (32, "projection", None),
        (56, "identity", 853_018),
        (56, "projection", None),
        (110, "identity", 1_727_962),
    ],
)
def test_resnets_have_the_published_numbers_of_parameters(depth, shortcut, published):
    variables = shapes(create_model(f"resnet{depth}", num_classes=10, shortcut=shortcut), COLOUR)
    expected = resnet_kernels(depth, shortcut) + resnet_others(depth, shortcut)
    assert size(variables["params"]) == expected
    assert published in (expected, None)


# Shapes


@pytest.mark.parametrize(
    ("name", "image_shapes"),
    [
        ("mlp", [DIGITS, GREY, COLOUR]),
        ("lenet_300_100", [DIGITS, GREY]),
        ("lenet5", [(12, 12, 1), GREY, (13, 17, 2), COLOUR]),
        ("resnet20", [DIGITS, GREY, COLOUR, (33, 31, 3)]),
        ("resnet32", [COLOUR]),
        ("resnet56", [COLOUR]),
        ("resnet110", [COLOUR]),
    ],
)
def test_one_logit_a_class(name, image_shapes):
    model = create_model(name, num_classes=7)
    for image_shape in image_shapes:
        images = jnp.zeros((5, *image_shape))
        logits, _ = jax.eval_shape(model.init_with_output, KEY, images)
        assert (logits.shape, logits.dtype) == ((5, 7), jnp.float32)


# Refusals


def test_unknown_name():
    names = ", ".join(sorted(MODELS))
    with refused("model.name", "'resnet-20'", f"{names} (did you mean 'resnet20'?)"):
        create_model("resnet-20", num_classes=10)
    with refused("model.name", "'zzz'", names):
        create_model("zzz", num_classes=10)


def test_unknown_option():
    with refused("option of mlp", "'hiden'", "activation, dtype, hidden (did you mean 'hidden'?)"):
        create_model("mlp", num_classes=10, hiden=(3,))
    for name, option in (("lenet5", "hidden"), ("resnet20", "depth"), ("mlp", "parent")):
        with refused(f"option of {name}", f"'{option}'"):
            create_model(name, num_classes=10, **{option: 20})


@pytest.mark.parametrize("hidden", [(), [], 300, None])
def test_hidden_layers_have_to_be_there(hidden):
    with refused("model.hidden", hidden):
        create_model("mlp", num_classes=10, hidden=hidden)


@pytest.mark.parametrize("width", [0, -3, 3.0, True, "3"])
def test_widths_have_to_be_counts(width):
    with refused("model.hidden", repr(width)):
        create_model("mlp", num_classes=10, hidden=(30, width))


@pytest.mark.parametrize("depth", [2, 7, 19, 21, -4, 20.0, "20", True, None])
def test_depth_has_to_be_6n_plus_2(depth):
    with refused("model.depth", repr(depth)):
        ResNetCifar(10, depth=depth)


def test_other_refusals():
    with refused("model.shortcut", "'projektion'", "identity, projection (did you mean"):
        create_model("resnet20", num_classes=10, shortcut="projektion")
    with refused("num_classes", 0):
        create_model("lenet5", num_classes=0)
    for image_shape in (DIGITS, (11, 28, 1), (28, 11, 1)):
        with pytest.raises(ValueError, match=r"^images.*; allowed: at least 12×12") as caught:
            shapes(create_model("lenet5", num_classes=10), image_shape)
        assert f"lenet5: {image_shape[0]}×{image_shape[1]};" in str(caught.value)


@pytest.mark.parametrize("name", MODELS)
def test_options_are_those_that_can_be_set(name):
    model = create_model(name, num_classes=10, **model_options(name))
    assert model == create_model(name, num_classes=10)


def test_widths_in_a_list_make_a_model_that_jit_can_take_as_static():
    lists, tuples = (create_model("mlp", num_classes=2, hidden=h) for h in ([5, 6], (5, 6)))
    assert hash(lists) == hash(tuples)


# Initialisation


@pytest.mark.parametrize("name", ["mlp", "identity"])
def test_weights_follow_from_the_key(name):
    model, image_shape = NETWORKS[name]
    first, again, others = (
        model.init(jax.random.key(seed), jnp.zeros((1, *image_shape))) for seed in (0, 0, 1)
    )
    jax.tree.map(np.testing.assert_array_equal, first, again)
    is_equal = jax.tree.map(np.array_equal, first["params"], others["params"])
    paths = jax.tree_util.tree_leaves_with_path(is_equal)
    assert all(equal != ("kernel" in str(path[-1])) for path, equal in paths)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("mlp", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),  # Glorot
        ("identity", lambda fan_in, fan_out: 2 / fan_in),  # He
    ],
)
def test_spread_of_the_initial_weights(name, variance):
    model, image_shape = NETWORKS[name]
    variables = model.init(KEY, jnp.zeros((1, *image_shape)))
    for kernel in (leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim > 1):
        *window, fan_in, fan_out = kernel.shape
        expected = np.sqrt(variance(np.prod(window) * fan_in, np.prod(window) * fan_out))
        assert abs(np.std(kernel) / expected - 1) < 4 / np.sqrt(2 * kernel.size)


# BatchNorm


def test_statistics_move_in_training_only(resnet):
    model, variables, images = resnet
    _, kept = model.apply(variables, images, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], variables["batch_stats"])

    _, moved = model.apply(variables, images, train=True, mutable=["batch_stats"])
    jax.tree.map(lambda a, b: assert_differ(a, b), moved["batch_stats"], variables["batch_stats"])
    stem = nn.Conv(16, (3, 3), padding=1, use_bias=False)
    out = stem.apply({"params": variables["params"]["Conv_0"]}, images)
    statistics = moved["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * out.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * out.var((0, 1, 2)), rtol=1e-5)


def assert_differ(one, other):
    assert np.all(np.asarray(one) != np.asarray(other))


def test_evaluation_sees_each_image_alone(network):
    model, variables, images = network
    together = model.apply(variables, images)
    alone = jnp.concatenate([model.apply(variables, image[None]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_training_sees_the_batch(resnet):
    model, variables, images = resnet
    together, _ = model.apply(variables, images, train=True, mutable=["batch_stats"])
    alone, _ = model.apply(variables, images[:1], train=True, mutable=["batch_stats"])
    assert np.abs(together[0] - alone[0]).max() > 1e-3


# Pruning


@pytest.mark.parametrize("shortcut", RESNETS)
def test_prunable_weights_of_resnet20(shortcut):
    params = shapes(create_model("resnet20", num_classes=10, shortcut=shortcut), COLOUR)["params"]
    counts = layer_counts(init_masks(params))
    assert sum(total for total, _ in counts.values()) == resnet_kernels(20, shortcut)
    assert len(counts) == 20 + 2 * (shortcut == "projection")


def test_prunable_are_the_kernels_of_convolutions_and_dense_layers(network):
    _, variables, _ = network
    for path, mask in jax.tree_util.tree_leaves_with_path(init_masks(variables["params"])):
        *modules, leaf = [part.key for part in path]
        is_layer = modules[-1].startswith(("Conv_", "Dense_")) or modules[-1] == "conv_shortcut"
        assert (mask.ndim > 0) == (is_layer and leaf == "kernel"), path
