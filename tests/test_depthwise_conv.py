"""The depthwise convolution: value and gradients against the native ones, in all programs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from silo_jax.models.conv import Conv, conv
from tests.test_conv import assert_near
from tests.test_conv_compiled import operations

CHANNELS = 5
SAME = ((1, 1), (1, 1))


def native(images, kernel, strides, padding):
    return lax.conv_general_dilated(
        images,
        kernel,
        (strides, strides),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=CHANNELS,
    )


def ours(images, kernel, strides, padding):
    return conv(images, kernel, strides, padding, CHANNELS)


def draw(kernel_size=(3, 3), size=(6, 7), strides=1, padding=SAME):
    """Images, a kernel, and a gradient of the output."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, *size, CHANNELS)).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, 1, CHANNELS)).astype(np.float32)
    out = jax.eval_shape(partial(native, strides=strides, padding=padding), images, kernel)
    return images, kernel, rng.normal(size=out.shape).astype(np.float32)


def value_and_gradients(convolve, images, kernel, grad, strides=1, padding=SAME):
    value, pullback = jax.vjp(lambda x, k: convolve(x, k, strides, padding), images, kernel)
    return value, *pullback(grad)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3), (5, 2)])
@pytest.mark.parametrize("padding", [SAME, ((2, 0), (0, 1))])
def test_value_and_both_gradients_are_the_native_ones(strides, kernel_size, padding):
    arrays = draw(kernel_size, (6, 7), strides, padding)
    programs = (
        jax.jit(partial(value_and_gradients, f, strides=strides, padding=padding))
        for f in (ours, native)
    )
    assert_near(*(program(*arrays) for program in programs))


def test_in_a_scan_and_under_vmap():
    images, kernel, grad = draw(strides=2)
    stacked = [jnp.stack([a, 2 * a, a - 1]) for a in (images, grad)]

    def sums(convolve):
        def step(kernel, pair):
            value, *gradients = value_and_gradients(convolve, pair[0], kernel, pair[1], 2)
            return kernel - 0.01 * gradients[1], (value, gradients[0])

        return lax.scan(step, kernel, tuple(stacked))

    assert_near(jax.jit(sums, static_argnums=0)(ours), sums(native))
    mapped = [
        jax.jit(jax.vmap(partial(value_and_gradients, f, strides=2), (0, None, 0)))
        for f in (ours, native)
    ]
    assert_near(*(program(stacked[0], kernel, stacked[1]) for program in mapped))


def test_gradient_of_a_gradient():
    images, kernel, _ = draw()

    def steepness(convolve, *arrays):
        grads = jax.grad(lambda x, k: jnp.sum(convolve(x, k, 2, SAME) ** 3), (0, 1))(*arrays)
        return sum(jnp.sum(g**2) for g in grads)

    second = (jax.jit(jax.grad(partial(steepness, f), (0, 1))) for f in (ours, native))
    assert_near(*(program(images, kernel) for program in second), tolerance=1e-5)


def test_bfloat16_sums_in_float32():
    arrays = [jnp.asarray(a, jnp.bfloat16) for a in draw()]
    exact = value_and_gradients(native, *(a.astype(jnp.float32) for a in arrays))
    rounded = value_and_gradients(ours, *arrays)
    for our, its in zip(rounded, exact, strict=True):
        assert our.dtype == jnp.bfloat16
        np.testing.assert_allclose(our.astype(jnp.float32), its, rtol=2**-8, atol=1e-6)


@pytest.mark.skipif(
    jax.__version_info__ < (0, 10), reason="older JAX may leave the choice of platform to XLA"
)
@pytest.mark.parametrize("platform", ["cuda", "tpu", "cpu"])
def test_native_on_all_platforms_but_the_cpu(platform):
    def loss(images, kernel):
        return jnp.sum(ours(images, kernel, 1, SAME) ** 2)

    program = jax.jit(jax.grad(loss, (0, 1))).trace(*draw()[:2])
    text = program.lower(lowering_platforms=(platform,)).as_text()
    assert operations(text) == (["while"] if platform == "cpu" else ["convolution"] * 3)


def test_module_is_flax_conv():
    images = jax.random.normal(jax.random.key(0), (3, 9, 7, CHANNELS))
    module = Conv(CHANNELS, (3, 3), strides=2, padding=1, groups=CHANNELS)
    flax = nn.Conv(CHANNELS, (3, 3), strides=2, padding=1, feature_group_count=CHANNELS)
    params = module.init(jax.random.key(1), images)
    jax.tree.map(np.testing.assert_array_equal, params, flax.init(jax.random.key(1), images))
    params["params"]["bias"] = jnp.arange(5.0)
    assert_near(module.apply(params, images), flax.apply(params, images))


@pytest.mark.parametrize(("groups", "features"), [(2, 4), (4, 8), (8, 8), (0, 4), ("4", 4)])
def test_groups_are_one_or_the_channels(groups, features):
    images = jnp.zeros((1, 4, 4, 4))
    line = f"^groups: {groups!r} with 4 channels and {features} outputs; allowed: 1, or as many"
    with pytest.raises(ValueError, match=line):
        Conv(features, (3, 3), groups=groups).init(jax.random.key(0), images)
