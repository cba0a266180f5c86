"""Convolutions in which columns of the images are taken as channels."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from silo_jax.models import conv_gpu
from silo_jax.models.conv import conv
from tests.test_conv import SAME, assert_near, draw, native, sums_over_taps, value_and_gradients

needs_platforms = pytest.mark.skipif(
    jax.__version_info__ < (0, 10), reason="older JAX may leave the choice of platform to XLA"
)


def by_columns(columns):
    return lambda images, kernel, strides, padding: conv_gpu.by_columns(
        images, kernel, padding, columns
    )


@pytest.mark.parametrize(
    ("kernel_size", "padding", "size", "columns"),
    [
        ((3, 3), SAME, (6, 8), 1),
        ((3, 3), SAME, (5, 6), 2),
        ((3, 3), SAME, (6, 8), 4),
        ((3, 3), SAME, (3, 5), 5),
        ((1, 3), ((0, 0), (1, 1)), (4, 6), 3),
        ((2, 5), ((0, 2), (2, 2)), (6, 8), 2),
        ((5, 7), ((0, 0), (3, 3)), (5, 12), 4),
    ],
)
def test_value_and_both_gradients_are_the_sums_over_taps(kernel_size, padding, size, columns):
    arrays = draw(kernel_size, size, 3, 1, padding)
    ours = value_and_gradients(by_columns(columns), *arrays, 1, padding)
    expected = sums_over_taps(*arrays, 1, padding)
    assert_near(ours, [a.astype("float32") for a in expected])


@pytest.mark.parametrize(
    ("channels", "size", "strides", "dtype"),
    [
        ((16, 16), (6, 8), 1, "float32"),
        ((16, 16), (6, 8), 1, "bfloat16"),
        ((8, 32), (5, 6), 1, "float32"),
        ((32, 16), (5, 6), 1, "bfloat16"),
        ((16, 16), (5, 7), 1, "float32"),
        ((16, 32), (6, 8), 2, "float32"),
        ((3, 16), (6, 8), 1, "float32"),
    ],
)
def test_what_a_gpu_computes_is_the_native_convolution(channels, size, strides, dtype):
    arrays = [jnp.asarray(a, dtype) for a in draw((3, 3), size, 2, strides, SAME, channels)]
    ours = value_and_gradients(conv_gpu.convolved, *arrays, strides)
    expected = value_and_gradients(native, *arrays, strides)
    assert_near(ours, expected, 2e-6 if dtype == "float32" else 1e-2)


def convolved_images(function, images, kernel, platform):
    """Height, width and channels of what is convolved, in what the function becomes there."""
    program = jax.jit(function).trace(images, kernel)
    text = program.lower(lowering_platforms=(platform,)).as_text()
    return re.findall(r"stablehlo\.convolution.* : \(tensor<2x(\w+)xf32>", text)


@needs_platforms
@pytest.mark.parametrize(
    ("channels", "size", "strides", "padding", "on_the_gpu"),
    [
        ((16, 16), (4, 8), 1, SAME, "4x2x64"),
        ((32, 32), (4, 8), 1, SAME, "4x4x64"),
        ((8, 32), (4, 8), 1, SAME, "4x4x16"),
        ((64, 64), (4, 8), 1, SAME, "4x8x64"),
        ((3, 16), (4, 8), 1, SAME, "4x8x3"),
        ((16, 16), (4, 8), 2, SAME, "4x8x16"),
        ((16, 16), (4, 6), 1, SAME, "4x6x16"),
        ((16, 16), (4, 8), 1, ((0, 0), (0, 0)), "4x8x16"),
    ],
)
def test_columns_become_channels_where_there_are_few(channels, size, strides, padding, on_the_gpu):
    images, kernel, _ = draw((3, 3), size, 2, strides, padding, channels)
    forward = partial(conv, strides=strides, padding=padding)
    on_others = f"{size[0]}x{size[1]}x{channels[0]}"
    assert convolved_images(forward, images, kernel, "cuda") == [on_the_gpu]
    assert convolved_images(forward, images, kernel, "rocm") == [on_others]


@needs_platforms
def test_columns_are_channels_in_both_gradients():
    images, kernel, _ = draw((3, 3), (4, 8), 2, 1, SAME, (16, 16))

    def gradients(images, kernel):
        return jax.grad(lambda *pair: jnp.sum(conv(*pair, 1, SAME) ** 2), (0, 1))(images, kernel)

    assert convolved_images(gradients, images, kernel, "cuda") == ["4x2x64"] * 3
    assert convolved_images(gradients, images, kernel, "rocm") == ["4x8x16"] * 3


@needs_platforms
def test_a_depthwise_convolution_is_left_as_it_is():
    images, kernel, _ = draw((3, 3), (4, 8), 2, 1, SAME, (16, 16))
    depthwise = partial(conv, strides=1, padding=SAME, groups=16)
    assert convolved_images(depthwise, images, kernel[:, :, :1], "cuda") == ["4x8x16"]
