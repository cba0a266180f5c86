"""Steps of every kind: Python, NumPy and JAX, narrow and wide, far past 2^24, 32 bits and 64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax import cycle_schedule, shapes, with_warmup

PEAKS = [0.1, 0.4, 0.2]


def expected_lr(step):
    step = min(max(step, 0), 20)
    return PEAKS[step // 7] * (1 - step % 7 / 7)


@pytest.fixture(scope="module")
def schedule():
    return cycle_schedule(shapes.linear_decay(7), PEAKS, steps_per_cycle=7)


@pytest.fixture(params=[False, True], ids=["32 bits", "64 bits"])
def x64(request):
    jax.config.update("jax_enable_x64", request.param)
    yield request.param
    jax.config.update("jax_enable_x64", False)


STEPS = [-(2**40), -1, 0, 1, 6, 7, 13, 14, 20, 21, 2**31 - 1, 2**31, 2**40, 2**70]


@pytest.mark.parametrize("step", STEPS)
def test_python_steps_of_any_size(schedule, step):
    for lr in (schedule(step), schedule([step])[0]):
        assert isinstance(lr, jax.Array)
        assert lr.shape == ()
        np.testing.assert_allclose(lr, expected_lr(step), rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (2, 0), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_steps_in_numpy_and_jax_arrays(schedule, dtype, shape):
    steps = np.arange(math.prod(shape), dtype=dtype).reshape(shape)
    expected = np.vectorize(expected_lr, otypes=[float])(steps)
    jax_steps = jnp.asarray(steps.astype(dtype if np.dtype(dtype).itemsize < 8 else np.int32))
    for lr in (schedule(steps), schedule(jax_steps), jax.jit(schedule)(jax_steps)):
        assert lr.shape == shape
        np.testing.assert_allclose(lr, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32])
def test_a_counter_narrower_than_the_schedule_is_long(dtype):
    schedule = cycle_schedule(shapes.linear_decay(10**6), [0.1, 0.2], 10**6)
    for step in (0, 5, 100):
        expected = 0.1 * (1 - step / 10**6)
        for counter in (dtype(step), jnp.asarray(dtype(step))):
            np.testing.assert_allclose(schedule(counter), expected, rtol=1e-6)


def test_wide_numpy_steps_are_not_cut_to_32_bits(schedule):
    steps = np.array([2**32, 2**40 + 3, -(2**32)])
    np.testing.assert_allclose(schedule(steps), [PEAKS[2] / 7, PEAKS[2] / 7, PEAKS[0]], rtol=1e-6)
    np.testing.assert_allclose(schedule(np.int64(2**32)), PEAKS[2] / 7, rtol=1e-6)


def test_of_a_float_the_whole_part_counts(schedule):
    for step in (8.0, 8.9, np.float32(8.9), jnp.float32(8.9)):
        assert schedule(step) == schedule(8)


def test_traced_negative_and_late_steps(schedule):
    steps = jnp.array([-5, 0, 21, 2**31 - 1])
    expected = [expected_lr(step) for step in steps.tolist()]
    np.testing.assert_allclose(jax.jit(schedule)(steps), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(schedule)(steps), expected, rtol=1e-6)


TOTAL = 2**30 + 2  # its middle, at which a triangle turns, is a step as well
MIDDLE = TOTAL // 2


def half_wave(share):
    """From 0 to 1; the square of a sine keeps the digits of what is nearly 0."""
    return math.sin(math.pi / 2 * share) ** 2


LONG_SHAPES = {
    "linear": (shapes.linear_decay(TOTAL), lambda t: (TOTAL - t) / TOTAL),
    "cosine": (shapes.cosine_decay(TOTAL), lambda t: half_wave((TOTAL - t) / TOTAL)),
    "triangle": (shapes.triangular(TOTAL), lambda t: min(t, TOTAL - t) / MIDDLE),
    "two triangles": (
        shapes.triangular(TOTAL, num_triangles=2),
        lambda t: min(2 * t % TOTAL, TOTAL - 2 * t % TOTAL) / MIDDLE,
    ),
    "one-cycle": (
        shapes.one_cycle(TOTAL, 0.5, 0.0, 0.0),
        lambda t: half_wave(min(t, TOTAL - t) / MIDDLE),
    ),
    "warm-up, drop": (
        shapes.warmup_step_decay(MIDDLE, (2**24 + 1, MIDDLE), 0.25),
        lambda t: min(t / MIDDLE, 1) * 0.25 ** (int(t > 2**24) + int(t >= MIDDLE)),
    ),
    "warm-up, linear": (
        with_warmup(shapes.linear_decay(MIDDLE), MIDDLE),
        lambda t: min(t, TOTAL - t) / MIDDLE,
    ),
}
AROUND = [t for at in (0, 2**24, MIDDLE, TOTAL) for t in range(at - 4, at + 5) if 0 <= t <= TOTAL]


@pytest.mark.parametrize("name", LONG_SHAPES)
def test_consecutive_steps_far_past_2_to_the_24(name, x64):
    """To a relative 1e-6 where float32 is, so that steps near a value of 0 are told apart."""
    shape, formula = LONG_SHAPES[name]
    expected = [formula(t) for t in AROUND]
    rtol = 1e-14 if x64 and name in {"linear", "triangle", "two triangles"} else 1e-6
    for dtype in (np.int32, np.int64):
        values = shape(jnp.asarray(np.array(AROUND, dtype)))
        assert values.dtype == (np.float64 if x64 else np.float32)
        np.testing.assert_allclose(values, expected, rtol=rtol)


@pytest.mark.parametrize("equal", [True, False], ids=["equal cycles", "unequal cycles"])
def test_cycles_are_counted_exactly_far_past_2_to_the_24(equal, x64):
    per_cycle = 2**20 + 7
    lengths = [per_cycle] * 1023 if equal else [per_cycle + m % 3 for m in range(1023)]
    starts = np.cumsum([0, *lengths]).tolist()
    peaks = np.linspace(0.1, 0.2, 1023)
    schedule = cycle_schedule(
        shapes.linear_decay(per_cycle + 2), peaks, per_cycle if equal else lengths
    )
    steps = [starts[m] + offset for m in (1, 16, 512, 1022) for offset in range(-3, 4)]
    steps += [starts[-1] - 1, starts[-1], 2**31 - 1]

    def closed_form(step):
        step = min(step, starts[-1] - 1)
        cycle = max(m for m in range(1023) if starts[m] <= step)
        return peaks[cycle] * (per_cycle + 2 - (step - starts[cycle])) / (per_cycle + 2)

    expected = [closed_form(step) for step in steps]
    rtol = 1e-6 if not x64 else 1e-7  # the peaks are float64 there, floats of NumPy to begin with
    for dtype in (np.int32, np.int64):
        traced = jax.jit(schedule)(jnp.asarray(np.array(steps, dtype)))
        np.testing.assert_allclose(traced, expected, rtol=rtol)
        np.testing.assert_allclose(schedule(np.array(steps, dtype)), expected, rtol=rtol)


def test_the_last_step_that_jax_can_count():
    schedule = cycle_schedule(shapes.constant(), [0.25, 0.5], steps_per_cycle=2**30 - 1)
    assert schedule([2**30 - 2, 2**30 - 1, 2**31 - 3, 2**31]).tolist() == [0.25, 0.5, 0.5, 0.5]


def test_strict_promotion_of_dtypes_passes():
    with jax.numpy_dtype_promotion("strict"):
        shape = with_warmup(shapes.warmup_step_decay(3, (5, 7)), 2)
        schedule = cycle_schedule([shape, shapes.triangular(8), shape], PEAKS, [9, 8, 9])
        assert jax.jit(schedule)(jnp.arange(30)).shape == (30,)
