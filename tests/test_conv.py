"""The convolution's value and gradients, in whatever program it stands."""

from functools import partial
from itertools import cycle, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from silo_jax.models import conv_cpu
from silo_jax.models.conv import Conv, conv

CHANNELS = (3, 4)
SIZES = ((6, 6), (7, 7), (9, 6), (5, 8), (8, 5))
BATCHES = (1, 2, 3, 4, 7, 11)
PADDINGS = (((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 2), (2, 2)), ((2, 0), (0, 1)))
KERNELS = ((1, 1), (3, 3), (5, 5), (1, 3))
SAME = ((1, 1), (1, 1))

# Sizes and batches go round beside the other three, so that all of them meet.
COMBINATIONS = [
    (*combination, size, batch)
    for combination, size, batch in zip(
        product((1, 2, 3), KERNELS, PADDINGS), cycle(SIZES), cycle(BATCHES), strict=False
    )
]


def native(images, kernel, strides, padding):
    return lax.conv_general_dilated(
        images, kernel, (strides, strides), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def draw(kernel_size, size, batch, strides=1, padding=SAME, channels=CHANNELS):
    """Images, a kernel, and a gradient of the output."""
    rng = np.random.default_rng(batch)
    images = rng.normal(size=(batch, *size, channels[0])).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, *channels)).astype(np.float32)
    out = jax.eval_shape(partial(native, strides=strides, padding=padding), images, kernel)
    return images, kernel, rng.normal(size=out.shape).astype(np.float32)


def value_and_gradients(convolve, images, kernel, grad, strides=1, padding=SAME):
    value, pullback = jax.vjp(lambda x, k: convolve(x, k, strides, padding), images, kernel)
    return value, *pullback(grad)


def assert_near(ours, expected, tolerance=2e-6):
    """Equal but for rounding: the difference is measured against the largest entry."""
    for our, its in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        assert our.dtype == its.dtype
        assert our.shape == its.shape
        our, its = np.asarray(our, np.float64), np.asarray(its, np.float64)
        np.testing.assert_allclose(our, its, rtol=0, atol=tolerance * np.abs(its).max())


def sums_over_taps(images, kernel, grad, strides, padding):
    """Value and both gradients by their definition, in float64."""
    images, kernel, grad = (np.asarray(a, np.float64) for a in (images, kernel, grad))
    padded = np.pad(images, ((0, 0), *padding, (0, 0)))
    value, to_padded, to_kernel = (np.zeros(a.shape) for a in (grad, padded, kernel))
    for i, j in np.ndindex(kernel.shape[:2]):
        rows, columns = (
            slice(start, start + (count - 1) * strides + 1, strides)
            for start, count in zip((i, j), grad.shape[1:3], strict=True)
        )
        value += padded[:, rows, columns] @ kernel[i, j]
        to_padded[:, rows, columns] += grad @ kernel[i, j].T
        to_kernel[i, j] = np.einsum("nyxc,nyxd->cd", padded[:, rows, columns], grad)
    (top, _), (left, _) = padding
    height, width = images.shape[1:3]
    return value, to_padded[:, top : top + height, left : left + width], to_kernel


@pytest.mark.parametrize("channels", [CHANNELS, CHANNELS[::-1]])
@pytest.mark.parametrize(("strides", "kernel_size", "padding", "size", "batch"), COMBINATIONS)
def test_value_and_both_gradients_are_the_sums_over_taps(
    strides, kernel_size, padding, size, batch, channels
):
    arrays = draw(kernel_size, size, batch, strides, padding, channels)
    ours = jax.jit(partial(value_and_gradients, conv, strides=strides, padding=padding))(*arrays)
    expected = sums_over_taps(*arrays, strides, padding)
    assert_near(ours, [a.astype(np.float32) for a in expected])


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_value_and_both_gradients_are_the_native_ones(strides):
    arrays = draw((3, 2), (7, 8), 5, strides, ((2, 0), (0, 1)))
    ours, its = (value_and_gradients(f, *arrays, strides, ((2, 0), (0, 1))) for f in (conv, native))
    assert_near(ours, its)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 4), (4, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_images_of_few_pixels_are_no_exception(size, strides, dtype):
    arrays = [jnp.asarray(a, dtype) for a in draw((3, 3), size, 5, strides)]
    ours = jax.jit(partial(value_and_gradients, conv, strides=strides))(*arrays)
    expected = sums_over_taps(*arrays, strides, SAME)
    expected = [np.asarray(a, jnp.dtype(dtype)) for a in expected]
    assert_near(ours, expected, 2e-6 if dtype == "float32" else 1e-2)


@pytest.mark.parametrize("batch", [1, 7, 12])
@pytest.mark.parametrize("images_at_a_time", [0.1, 1, 4.5, 1000])
@pytest.mark.parametrize(
    ("size", "numbers"),
    [((5, 6), 5 * 6 * 3 * 3 * CHANNELS[0]), ((6, 5), (6 + 2) * 5 * 3 * sum(CHANNELS))],
    ids=["patches", "taps on both sides"],
)
def test_kernel_gradient_does_not_depend_on_how_images_are_grouped(
    monkeypatch, batch, images_at_a_time, size, numbers
):
    images, kernel, grad = draw((3, 3), size, batch, 1, SAME)
    monkeypatch.setattr(conv_cpu, "_GROUP_BYTES", int(images_at_a_time * 4 * numbers))
    assert_near(
        value_and_gradients(conv, images, kernel, grad),
        value_and_gradients(native, images, kernel, grad),
    )


@pytest.mark.parametrize(
    ("kernel_size", "channels", "size", "on_both_sides"),
    [
        ((3, 3), (4, 4), (6, 5), True),
        ((5, 3), (4, 5), (11, 6), True),
        ((3, 3), (4, 4), (5, 9), False),  # of few rows
        ((3, 3), (12, 2), (8, 8), False),  # of unlike channels
        ((1, 1), (4, 4), (6, 6), False),
    ],
)
def test_kernel_gradient_by_taps_on_both_sides_and_by_patches(
    kernel_size, channels, size, on_both_sides
):
    padding = ((kernel_size[0] - 1, 0), (1, kernel_size[1] // 2))
    arrays = draw(kernel_size, size, 6, 1, padding, channels)
    rows = arrays[2].shape[1]
    assert conv_cpu._is_less_on_both_sides((*kernel_size, *channels), rows) == on_both_sides
    ours = value_and_gradients(conv, *arrays, 1, padding)
    assert_near(ours, value_and_gradients(native, *arrays, 1, padding))


@pytest.mark.parametrize("number", [1, 2, 7, 12, 60, 128])
@pytest.mark.parametrize("limit", [0, 1, 5, 12, 1000])
def test_group_is_the_largest_divisor_within_the_limit(number, limit):
    group = conv_cpu._divisor_up_to(number, limit)
    assert number % group == 0
    assert group <= max(1, limit)
    assert all(number % d for d in range(group + 1, min(number, limit) + 1))


def test_in_a_scan():
    _, kernel, _ = arrays = draw((3, 3), (6, 5), 3, 2, SAME)
    images, grads = (jnp.stack([a, 2 * a, a - 1]) for a in (arrays[0], arrays[2]))

    def sums(convolve):
        def step(kernel, pair):
            value, *gradients = value_and_gradients(convolve, pair[0], kernel, pair[1], 2)
            return kernel - 0.01 * gradients[1], (value, gradients[0])

        return lax.scan(step, kernel, (images, grads))

    assert_near(jax.jit(sums, static_argnums=0)(conv), sums(native))


@pytest.mark.parametrize("axes", [(0, 0, 0), (0, None, 0), (None, 0, 0)])
def test_under_vmap(axes):
    arrays = draw((3, 3), (6, 5), 3, 2, SAME)
    stacked = [
        a if axis is None else jnp.stack([a, 2 * a, a - 1])
        for a, axis in zip(arrays, axes, strict=True)
    ]
    per_example = partial(value_and_gradients, conv, strides=2)
    expected = [
        value_and_gradients(
            native,
            *(a if axis is None else a[i] for a, axis in zip(stacked, axes, strict=True)),
            strides=2,
        )
        for i in range(3)
    ]
    ours = jax.jit(jax.vmap(per_example, axes))(*stacked)
    assert_near(ours, jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected))


@pytest.mark.parametrize("strides", [1, 2])
def test_gradient_of_a_gradient(strides):
    images, kernel, _ = draw((3, 3), (6, 5), 3, strides, SAME)

    def hessian_product(convolve):
        def loss(images, kernel):
            return jnp.sum(convolve(images, kernel, strides, SAME) ** 3)

        def steepness(*arrays):
            return sum(jnp.sum(g**2) for g in jax.grad(loss, (0, 1))(*arrays))

        return jax.jit(jax.grad(steepness, (0, 1)))(images, kernel)

    assert_near(hessian_product(conv), hessian_product(native), tolerance=1e-5)


@pytest.mark.parametrize("size", [(5, 7), (6, 6)])
def test_bfloat16_loses_no_more_than_natively(monkeypatch, size):
    monkeypatch.setattr(conv_cpu, "_GROUP_BYTES", 1)  # as many sums as there are images
    arrays = [jnp.asarray(a, jnp.bfloat16) for a in draw((3, 3), size, 64)]
    exact = value_and_gradients(native, *(a.astype(jnp.float32) for a in arrays))

    def errors(convolve):
        rounded = value_and_gradients(convolve, *arrays)
        assert {a.dtype for a in rounded} == {np.dtype(jnp.bfloat16)}
        return np.array(
            [jnp.linalg.norm((a - b).ravel()) for a, b in zip(rounded, exact, strict=True)]
        )

    assert np.all(errors(conv) <= 1.2 * errors(native))


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("use_bias", [True, False])
def test_module_is_flax_conv(strides, padding, use_bias):
    images = jax.random.normal(jax.random.key(0), (3, 9, 7, 2))
    options = {"features": 5, "kernel_size": (3, 2), "strides": strides, "use_bias": use_bias}
    ours = Conv(**options, padding=padding)
    flax = nn.Conv(**options, padding=[(padding, padding)] * 2)

    params = ours.init(jax.random.key(1), images)
    jax.tree.map(np.testing.assert_array_equal, params, flax.init(jax.random.key(1), images))
    if use_bias:
        params["params"]["bias"] = jnp.arange(5.0)
    assert_near(ours.apply(params, images), flax.apply(params, images), tolerance=0)


def test_module_takes_an_initializer():
    conv_of_ones = Conv(4, (3, 3), kernel_init=nn.initializers.ones)
    kernel = conv_of_ones.init(jax.random.key(0), jnp.ones((1, 5, 5, 2)))["params"]["kernel"]
    np.testing.assert_array_equal(kernel, np.ones((3, 3, 2, 4)))
