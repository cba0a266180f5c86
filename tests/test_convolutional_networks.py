"""The larger convolutional networks: sizes by arithmetic, strides, shapes, refusals."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import pytest

from silo_jax import init_masks
from silo_jax.models import create_model
from silo_jax.models.conv_n import ConvN
from silo_jax.models.densenet import DenseNet
from silo_jax.models.resnet import ResNet
from silo_jax.models.vgg import VGG
from tests.networks import COLOUR, KEY, shapes, size, windows
from tests.refusals import refused

PHOTO = (224, 224, 3)


# Sizes: (weights in kernels, all other parameters) of each network, by arithmetic


def resnet18(num_classes, stem):
    """Two blocks of two 3×3 convolutions a stage; a projection where the width doubles."""
    kernels, channels = 9 * 3 * 64 if stem == 3 else 49 * 3 * 64, 64
    for before, width in pairwise((64, 64, 128, 256, 512)):
        kernels += 9 * (before * width + 3 * width**2) + (before != width) * before * width
        channels += 4 * width + (before != width) * width
    return kernels + 512 * num_classes, 2 * channels + num_classes


def resnet50(num_classes, stem):
    """Blocks of 1×1, 3×3, 1×1; the first one of each stage has a projection."""
    kernels, channels = stem**2 * 3 * 64, 64
    before = 64
    for width, num_blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        kernels += before * 4 * width
        channels += 4 * width
        for _ in range(num_blocks):
            kernels += before * width + 9 * width**2 + width * 4 * width
            channels += 6 * width
            before = 4 * width
    return kernels + 2048 * num_classes, 2 * channels + num_classes


def vgg(numbers, dense):
    """A bias, a scale and a shift for every channel of the convolutions; then dense layers."""
    kernels, others, before = 0, 0, 3
    for width, number in zip((64, 128, 256, 512, 512), numbers, strict=True):
        for _ in range(number):
            kernels, others, before = kernels + 9 * before * width, others + 3 * width, width
    return kernels + sum(a * b for a, b in pairwise(dense)), others + sum(dense[1:])


def densenet(layers_per_block, bottleneck, growth=12):
    channels = 2 * growth if bottleneck else 16
    kernels, others = 27 * channels, 0
    for block in range(3):
        for _ in range(layers_per_block):
            if bottleneck:
                kernels += channels * 4 * growth + 9 * 4 * growth * growth
                others += 2 * (channels + 4 * growth)
            else:
                kernels += 9 * channels * growth
                others += 2 * channels
            channels += growth
        if block < 2:
            kept = channels // 2 if bottleneck else channels
            kernels += channels * kept
            others += 2 * channels
            channels = kept
    return kernels + 10 * channels, others + 2 * channels + 10


def mobilenet(num_classes):
    """Expansion, depthwise and projection of the seventeen blocks, between 3×3 and 1×1."""
    widths = [16, *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320]
    kernels, channels = 27 * 32 + 320 * 1280 + 1280 * num_classes, 32 + 1280
    for before, after in pairwise([32, *widths]):
        wide = before if after == 16 else 6 * before
        kernels += (wide != before) * before * wide + 9 * wide + wide * after
        channels += (wide != before) * wide + wide + after
    return kernels, 2 * channels + num_classes


def conv_n(num_pairs):
    widths = [3, *(width for width in (64, 128, 256)[:num_pairs] for _ in range(2))]
    dense = [widths[-1] * (32 // 2**num_pairs) ** 2, 256, 256, 10]
    kernels = sum(9 * a * b for a, b in pairwise(widths)) + sum(a * b for a, b in pairwise(dense))
    return kernels, sum(widths[1:]) + sum(dense[1:])


CIFAR_VGG, LARGE = (512, 10), (49 * 512, 4096, 4096)
NETWORKS = [
    ("resnet18", {}, 1000, PHOTO, resnet18(1000, 7), 11_689_512),
    ("resnet18", {"stem": "cifar"}, 10, COLOUR, resnet18(10, 3), 11_173_962),
    ("resnet50", {}, 1000, PHOTO, resnet50(1000, 7), 25_557_032),
    ("resnet50", {"stem": "cifar"}, 10, COLOUR, resnet50(10, 3), 23_520_842),
    ("vgg16", {}, 10, COLOUR, vgg((2, 2, 3, 3, 3), CIFAR_VGG), 14_728_266),
    ("vgg19", {}, 10, COLOUR, vgg((2, 2, 4, 4, 4), CIFAR_VGG), 20_040_522),
    (
        "vgg16",
        {"head": "imagenet"},
        1000,
        PHOTO,
        vgg((2, 2, 3, 3, 3), (*LARGE, 1000)),
        138_365_992,
    ),
    ("vgg19", {"head": "imagenet"}, 10, COLOUR, vgg((2, 2, 4, 4, 4), (*LARGE, 10)), 139_622_218),
    ("densenet40", {}, 10, COLOUR, densenet(12, False), 1_019_722),
    ("densenet_bc100", {}, 10, COLOUR, densenet(16, True), 769_162),
    ("mobilenet_v2", {}, 1000, PHOTO, mobilenet(1000), 3_504_872),
    ("mobilenet_v2", {"stem": "cifar"}, 10, COLOUR, mobilenet(10), 2_236_682),
    ("conv2", {}, 10, COLOUR, conv_n(1), 4_301_642),
    ("conv4", {}, 10, COLOUR, conv_n(2), 2_425_930),
    ("conv6", {}, 10, COLOUR, conv_n(3), 2_262_602),
]


@pytest.mark.parametrize(
    ("name", "options", "num_classes", "image_shape", "sizes", "published"), NETWORKS
)
def test_networks_have_the_published_numbers_of_parameters(
    name, options, num_classes, image_shape, sizes, published
):
    model = create_model(name, num_classes=num_classes, **options)
    params = shapes(model, image_shape)["params"]
    assert size(params) == sum(sizes) == published
    masks = jax.eval_shape(partial(init_masks, prunable=model.prunable), params)
    assert size([mask for mask in jax.tree.leaves(masks) if mask.ndim]) == sizes[0]
    assert masks == jax.eval_shape(init_masks, params)


def test_most_of_vgg19_with_the_large_head_is_dense():
    params = shapes(create_model("vgg19", num_classes=10, head="imagenet"), COLOUR)["params"]
    dense = sum(size(layer) for name, layer in params.items() if name.startswith("Dense"))
    assert dense == 119_586_826


# Strides and shapes


@pytest.mark.parametrize(
    ("name", "stem", "expected"),
    [
        ("resnet18", "imagenet", {(7, 2): 1, (3, 1): 13, (3, 2): 3, (1, 2): 3}),
        ("resnet18", "cifar", {(3, 1): 14, (3, 2): 3, (1, 2): 3}),
        ("resnet50", "imagenet", {(7, 2): 1, (3, 1): 13, (3, 2): 3, (1, 1): 33, (1, 2): 3}),
        ("resnet50", "cifar", {(3, 1): 14, (3, 2): 3, (1, 1): 33, (1, 2): 3}),
        ("mobilenet_v2", "imagenet", {(3, 1): 13, (3, 2): 5, (1, 1): 34}),
        ("mobilenet_v2", "cifar", {(3, 1): 15, (3, 2): 3, (1, 1): 34}),
    ],
)
def test_where_the_strides_are(name, stem, expected):
    """In ResNet-50 v1.5 it is the 3×3 convolution of a block, beside the shortcut, that strides."""
    assert windows(create_model(name, num_classes=10, stem=stem), PHOTO) == expected


@pytest.mark.parametrize(
    ("name", "options", "image_shapes"),
    [
        ("resnet18", {}, [PHOTO, COLOUR, (33, 31, 1), (1, 1, 3)]),
        ("resnet50", {"stem": "cifar"}, [COLOUR, (9, 8, 3)]),
        ("vgg16", {}, [COLOUR, (64, 70, 3)]),
        ("vgg19", {"head": "imagenet"}, [COLOUR, (96, 64, 3), (250, 300, 3)]),
        ("densenet40", {"growth": 4}, [COLOUR, (4, 5, 1)]),
        ("densenet_bc100", {}, [COLOUR]),
        ("mobilenet_v2", {}, [PHOTO, (31, 33, 1)]),
        ("mobilenet_v2", {"stem": "cifar"}, [COLOUR, (1, 1, 3)]),
        ("conv2", {}, [COLOUR, (2, 3, 1)]),
        ("conv6", {}, [COLOUR, (8, 9, 1)]),
    ],
)
def test_one_logit_a_class(name, options, image_shapes):
    model = create_model(name, num_classes=7, **options)
    for image_shape in image_shapes:
        logits, _ = jax.eval_shape(model.init_with_output, KEY, jnp.zeros((5, *image_shape)))
        assert (logits.shape, logits.dtype) == ((5, 7), jnp.float32)


# Refusals


@pytest.mark.parametrize(
    ("name", "side"), [("vgg16", 32), ("vgg19", 32), ("densenet40", 4), ("conv4", 4), ("conv6", 8)]
)
def test_images_of_which_nothing_would_be_left(name, side):
    model = create_model(name, num_classes=10)
    family = name.rstrip("0123456789") if name.startswith("densenet") else name
    for height, width in ((side - 1, side), (side, side - 1)):
        line = f"^images for {family}: {height}×{width}; allowed: at least {side}×{side}"
        with pytest.raises(ValueError, match=line):
            model.apply({}, jnp.zeros((1, height, width, 3)))


@pytest.mark.parametrize(
    ("family", "allowed"), [(ResNet, "18, 50"), (VGG, "16, 19"), (ConvN, "2, 4, 6")]
)
@pytest.mark.parametrize("depth", [0, 17, "18", None, [50]])
def test_depths(family, allowed, depth):
    with refused("model.depth", repr(depth), allowed):
        family(10, depth=depth)


@pytest.mark.parametrize("depth", [4, 12, 41, "40", True])
def test_depth_of_a_densenet_has_to_be_3n_plus_4(depth):
    with refused("model.depth", repr(depth)):
        DenseNet(10, depth=depth)


@pytest.mark.parametrize("depth", [4, 7, 43, "100"])
def test_depth_of_a_densenet_bc_has_to_be_6n_plus_4(depth):
    with refused("model.depth", repr(depth)):
        DenseNet(10, depth=depth, bottleneck=True)


@pytest.mark.parametrize(
    ("name", "option", "value", "allowed"),
    [
        ("resnet18", "stem", "imagnet", "cifar, imagenet (did you mean 'imagenet'?)"),
        ("mobilenet_v2", "stem", "small", "cifar, imagenet"),
        ("vgg16", "head", "large", "cifar, imagenet"),
        ("densenet40", "growth", 0, "an integer of at least 1"),
        *(
            (name, "dtype", "float16", "bfloat16, float32")
            for name in ("mlp", "lenet5", "conv2", "resnet20", "resnet18", "vgg16", "densenet40")
        ),
        ("mobilenet_v2", "dtype", None, "bfloat16, float32"),
    ],
)
def test_options(name, option, value, allowed):
    with refused(f"model.{option}", repr(value), allowed):
        create_model(name, num_classes=10, **{option: value})
