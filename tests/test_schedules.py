"""The cycle combinator with cycles of one length, and SILO as a schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax import cycle_schedule, shapes, silo_peaks, silo_schedule
from tests.refusals import refused

PEAKS = [0.1, 0.4, 0.2]


@pytest.mark.parametrize("kind", [list, tuple, np.array, np.float32, jnp.array])
def test_the_schedule_is_the_shape_times_the_peak_of_the_cycle(kind):
    schedule = cycle_schedule(shapes.linear_decay(7), kind(PEAKS), steps_per_cycle=7)
    expected = [PEAKS[t // 7] * (1 - t % 7 / 7) for t in range(21)]
    np.testing.assert_allclose(schedule(np.arange(21)), expected, rtol=1e-6)


def test_past_the_last_cycle_its_end_value_holds():
    schedule = cycle_schedule(shapes.cosine_decay(4), [0.1, 0.3], steps_per_cycle=3)
    assert schedule(5) == schedule(6) == schedule(10**9) == jax.jit(schedule)(10**9)
    assert schedule(5) == np.float32(0.3) * shapes.cosine_decay(4)(2)


def test_one_cycle_of_one_step():
    schedule = cycle_schedule(shapes.constant(), [0.25], steps_per_cycle=1)
    assert schedule([0, 1, 2]).tolist() == [0.25] * 3


@pytest.mark.parametrize("traced", [True, False])
def test_program_size_does_not_grow_with_the_number_of_cycles(traced):
    shape = shapes.warmup_step_decay(10, (50, 70))

    def num_operations(num_cycles):
        peaks = np.linspace(0.1, 0.2, num_cycles, dtype=np.float32)
        if traced:
            program = jax.jit(lambda peaks, step: cycle_schedule(shape, peaks, 100)(step))
            return len(program.lower(peaks, 3).as_text().splitlines())
        program = jax.jit(cycle_schedule(shape, peaks, 100))
        return len(program.lower(3).as_text().splitlines())

    assert num_operations(17) == num_operations(1000) > 3


def test_silo_schedule_is_the_shape_times_the_peaks():
    arguments = {"lower": 0.03, "upper": 0.07, "prune_fraction": 0.3, "steepness": 3.0, "delay": 2}
    shape = shapes.warmup_step_decay(4, (8, 9))
    schedule = silo_schedule(shape, num_cycles=6, steps_per_cycle=10, **arguments)
    steps = np.arange(60)
    expected = np.asarray(silo_peaks(6, **arguments))[steps // 10] * shape(steps % 10)
    np.testing.assert_allclose(schedule(steps), expected, rtol=1e-6)


def test_defaults_of_silo_schedule_are_those_of_silo_peaks():
    schedule = silo_schedule(
        shapes.constant(), num_cycles=9, steps_per_cycle=1, lower=0.1, upper=0.2
    )
    assert (schedule(np.arange(9)) == silo_peaks(9, lower=0.1, upper=0.2)).all()


def test_silo_is_bounded_by_its_peaks_and_they_rise():
    schedule = silo_schedule(
        shapes.one_cycle(20), num_cycles=30, steps_per_cycle=20, lower=0.03, upper=0.07
    )
    by_cycle = np.asarray(schedule(np.arange(600))).reshape(30, 20)
    reached = by_cycle.max(axis=1)
    assert (np.diff(reached) >= 0).all()
    assert reached[0] == np.float32(0.03)
    assert np.float32(0.069999) < reached[-1] <= np.float32(0.07)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "10", None])
def test_cycle_schedule_refuses_steps_per_cycle(steps):
    with refused("steps_per_cycle", repr(steps), "an integer of at least 1"):
        cycle_schedule(shapes.constant(), PEAKS, steps)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_cycle_schedule_refuses_peaks_that_are_no_rates(value):
    with refused("peaks", value, "finite, at least 0"):
        cycle_schedule(shapes.constant(), [0.1, value], 3)


@pytest.mark.parametrize("peaks", [[], 0.1, [[0.1]]])
def test_cycle_schedule_refuses_peaks_that_are_no_vector(peaks):
    with refused("peaks", f"shape {np.shape(peaks)}", "(num_cycles,)"):
        cycle_schedule(shapes.constant(), peaks, 3)


@pytest.mark.parametrize("steps", [2**30, np.int32(2**30), [2**30, 2**30]])
def test_cycle_schedule_refuses_more_steps_than_jax_can_count(steps):
    with refused("steps of all cycles", 2**31, "at most 2147483647"):
        cycle_schedule(shapes.constant(), [0.1, 0.2], steps)


@pytest.mark.parametrize("shape", [0.5, None, "cosine_decay"])
def test_cycle_schedule_refuses_what_is_no_shape(shape):
    with refused("shape", ""):
        cycle_schedule(shape, PEAKS, 3)
