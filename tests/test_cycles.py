"""Cycles of unequal length, and shapes that differ from cycle to cycle."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import cycle_schedule, shapes, silo_peaks, silo_schedule, with_warmup
from tests.refusals import refused

LENGTHS = [9, 1, 4, 4]
PEAKS = [0.1, 0.4, 0.2, 0.3]


def cycle_and_offset(step, lengths):
    """By counting up, a step at a time."""
    step = min(max(step, 0), sum(lengths) - 1)
    for cycle, length in enumerate(lengths):
        if step < length:
            return cycle, step
        step -= length
    raise AssertionError


@settings(derandomize=True, deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(1, 12), min_size=5, max_size=5))
def test_every_cycle_starts_the_shape_afresh_at_its_peak(lengths):
    peaks = 0.1 + 0.1 * np.arange(5)
    schedule = cycle_schedule(shapes.linear_decay(12), peaks, lengths)
    steps = [-2, 0, *(int(end) + d for end in np.cumsum(lengths) for d in (-1, 0, 1)), 500]
    expected = []
    for step in steps:
        cycle, offset = cycle_and_offset(step, lengths)
        expected.append(peaks[cycle] * (1 - offset / 12))
    np.testing.assert_allclose(schedule(np.array(steps)), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [list, tuple, np.array, np.int8, jnp.array])
def test_lengths_in_any_sequence_and_steps_of_any_shape(kind):
    schedule = cycle_schedule(shapes.linear_decay(9), PEAKS, kind(LENGTHS))
    steps = np.arange(18).reshape(3, 2, 3)
    located = [cycle_and_offset(step, LENGTHS) for step in range(18)]
    expected = np.reshape([PEAKS[cycle] * (1 - t / 9) for cycle, t in located], (3, 2, 3))
    np.testing.assert_allclose(schedule(steps), expected, rtol=1e-6)


def test_equal_lengths_one_by_one_are_the_same_as_one_number():
    shape, steps = shapes.one_cycle(6), np.arange(-2, 40)
    expected = cycle_schedule(shape, PEAKS, 6)(steps)
    np.testing.assert_array_equal(cycle_schedule(shape, PEAKS, [6] * 4)(steps), expected)


def test_a_shape_a_cycle():
    long, short = with_warmup(shapes.linear_decay(7), 2), shapes.triangular(4)
    schedule = cycle_schedule((long, shapes.constant(), short, short), PEAKS, LENGTHS)
    parts = [[0, 0.5, *(1 - np.arange(7) / 7)], [1], [0, 0.5, 1, 0.5], [0, 0.5, 1, 0.5]]
    expected = np.concatenate([peak * np.array(y) for peak, y in zip(PEAKS, parts, strict=True)])
    np.testing.assert_allclose(jax.jit(schedule)(np.arange(18)), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(schedule))(np.arange(18)), expected, rtol=1e-6)


def test_a_shape_a_cycle_with_cycles_of_one_length():
    first, rest = optax.constant_schedule(0.5), shapes.linear_decay(3)
    schedule = cycle_schedule([first, rest, rest], [0.2, 0.2, 0.4], 3)
    expected = [0.1, 0.1, 0.1, 0.2, 0.4 / 3, 0.2 / 3, 0.4, 0.8 / 3, 0.4 / 3]
    np.testing.assert_allclose(schedule(np.arange(9)), expected, rtol=1e-6)


def test_a_shape_that_several_cycles_share_is_evaluated_once():
    calls = []

    def counted(step):
        calls.append(step)
        return jnp.ones(np.shape(step))

    cycle_schedule([counted] * 4, PEAKS, LENGTHS)(3)
    assert len(calls) == 1
    cycle_schedule([shapes.constant(), counted, counted, counted], PEAKS, LENGTHS)(3)
    assert len(calls) == 2


def test_program_size_does_not_grow_with_the_number_of_cycles():
    long, short = shapes.cosine_decay(30), shapes.cosine_decay(20)

    def num_operations(num_cycles):
        lengths = [30] + [20] * (num_cycles - 1)
        shape = [long] + [short] * (num_cycles - 1)
        program = jax.jit(cycle_schedule(shape, np.ones(num_cycles), lengths))
        return len(program.lower(3).as_text().splitlines())

    assert num_operations(17) == num_operations(1000) > 3


def test_silo_with_a_long_first_cycle():
    long, short = shapes.one_cycle(10), shapes.one_cycle(4)
    lengths = [10, *[4] * 5]
    schedule = silo_schedule(
        [long, *[short] * 5], num_cycles=6, steps_per_cycle=lengths, lower=0.1, upper=0.5
    )
    peaks = silo_peaks(6, lower=0.1, upper=0.5)
    expected = np.outer(peaks, short(np.arange(4)))
    values = jax.jit(schedule)(np.arange(30))
    np.testing.assert_allclose(values[:10], peaks[0] * long(np.arange(10)), rtol=1e-6)
    np.testing.assert_allclose(values[10:], expected[1:].ravel(), rtol=1e-6)


@pytest.mark.parametrize("lengths", [[], [3], [3, 3, 3]])
def test_lengths_have_to_be_as_many_as_the_peaks(lengths):
    with refused("steps_per_cycle", f"{len(lengths)} cycles", "an integer, or one a cycle (2)"):
        cycle_schedule(shapes.constant(), [0.1, 0.2], lengths)
    with refused("steps_per_cycle", f"{len(lengths)} cycles", "an integer, or one a cycle (2)"):
        silo_schedule(
            shapes.constant(), num_cycles=2, steps_per_cycle=lengths, lower=0.1, upper=0.2
        )


@pytest.mark.parametrize("length", [0, -1, 1.5, True, "3", None])
def test_every_length_is_a_whole_number_of_steps(length):
    with refused("steps_per_cycle", repr(length), "an integer of at least 1"):
        cycle_schedule(shapes.constant(), [0.1, 0.2], [3, length])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_shapes_have_to_be_as_many_as_the_peaks(count):
    with refused("shape", f"{count} schedules", "one, or one a cycle (2)"):
        cycle_schedule([shapes.constant()] * count, [0.1, 0.2], 3)


def test_every_shape_is_a_schedule():
    with refused("shape", 0.5, "an optax schedule"):
        cycle_schedule([shapes.constant(), 0.5], [0.1, 0.2], 3)
