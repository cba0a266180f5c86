"""Shapes within a cycle and the cycle combinator: closed forms, kinds of steps, program size."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from silo_jax import cycle_schedule, shapes, silo_peaks, silo_schedule
from tests.refusals import refused


def one_cycle_at(t, total, warmup, initial, final):
    """PyTorch's OneCycleLR, with cosine annealing and max_lr 1."""

    def anneal(start, end, share):
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    share = min(t / total, 1)
    if share <= warmup:
        return anneal(initial, 1, share / warmup)
    return anneal(1, final, (share - warmup) / (1 - warmup))


SHAPES = {
    "constant": (shapes.constant(), lambda t: 1.0),
    "linear": (shapes.linear_decay(8, floor=0.25), lambda t: max(1 - 0.75 * t / 8, 0.25)),
    "linear to 0": (shapes.linear_decay(5), lambda t: max(1 - t / 5, 0)),
    "linear in a step": (shapes.linear_decay(1), lambda t: float(t == 0)),
    "linear, flat": (shapes.linear_decay(3, floor=1.0), lambda t: 1.0),
    "cosine": (
        shapes.cosine_decay(10, floor=0.1),
        lambda t: 0.1 + 0.9 * (1 + math.cos(math.pi * min(t, 10) / 10)) / 2,
    ),
    "triangular": (shapes.triangular(6, 0.1), lambda t: max(1 - 0.9 * abs(t - 3) / 3, 0.1)),
    "one-cycle": (shapes.one_cycle(20), lambda t: one_cycle_at(t, 20, 0.3, 1 / 25, 1 / 250_000)),
    "one-cycle, other shares": (
        shapes.one_cycle(10, warmup_share=0.5, initial_share=0.0, final_share=0.2),
        lambda t: one_cycle_at(t, 10, 0.5, 0.0, 0.2),
    ),
    "warm-up": (
        shapes.warmup_step_decay(5, (10, 15)),
        lambda t: min(t / 5, 1) * 0.1 ** (int(t >= 10) + int(t >= 15)),
    ),
    "warm-up that a drop cuts": (
        shapes.warmup_step_decay(12, (6,), drop_factor=0.5),
        lambda t: min(t / 12, 1) * 0.5 ** (t >= 6),
    ),
    "no warm-up": (shapes.warmup_step_decay(0, [3], 0.0), lambda t: float(t < 3)),
    "warm-up, no drops": (shapes.warmup_step_decay(4), lambda t: min(t / 4, 1)),
}
# Peak 1 is not reached where the docstrings say so: a cut warm-up.
REACHING_1 = sorted(SHAPES.keys() - {"warm-up that a drop cuts"})


@pytest.mark.parametrize("name", SHAPES)
def test_shape_equals_its_closed_form_and_holds_its_last_value(name):
    shape, formula = SHAPES[name]
    steps = np.arange(40)
    expected = [formula(t) for t in steps]
    np.testing.assert_allclose(shape(steps), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(jax.jit(shape)(steps), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(shape(2**40), formula(39), rtol=0, atol=1e-6)
    np.testing.assert_allclose(shape(-7), formula(0), rtol=0, atol=1e-6)
    assert shape([1, 2]).tolist() == shape(np.array([1, 2])).tolist()
    assert shape(5).shape == ()
    assert shape(np.zeros((2, 3, 0), int)).shape == (2, 3, 0)


@pytest.mark.parametrize("name", REACHING_1)
def test_the_peak_of_a_shape_is_exactly_1(name):
    assert SHAPES[name][0](np.arange(40)).max() == 1


def test_a_shape_past_the_whole_numbers_of_float32_still_drops_on_the_step():
    drop = 2**24 + 1
    shape = shapes.warmup_step_decay(0, (drop,), drop_factor=0.0)
    assert shape([drop - 1, drop]).tolist() == [1.0, 0.0]


PEAKS = [0.1, 0.4, 0.2]


def expected_lr(step):
    step = min(max(step, 0), 20)
    return PEAKS[step // 7] * (1 - step % 7 / 7)


@pytest.fixture(scope="module")
def schedule():
    return cycle_schedule(shapes.linear_decay(7), PEAKS, steps_per_cycle=7)


STEPS = [-(2**40), -1, 0, 1, 6, 7, 13, 14, 20, 21, 2**31 - 1, 2**31, 2**40, 2**70]


@pytest.mark.parametrize("step", STEPS)
def test_python_steps_of_any_size(schedule, step):
    lr = schedule(step)
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


def test_wide_numpy_steps_are_not_cut_to_32_bits(schedule):
    steps = np.array([2**32, 2**40 + 3, -(2**32)])
    np.testing.assert_allclose(schedule(steps), [PEAKS[2] / 7, PEAKS[2] / 7, PEAKS[0]], rtol=1e-6)
    np.testing.assert_allclose(schedule(np.int64(2**32)), PEAKS[2] / 7, rtol=1e-6)


def test_traced_negative_and_late_steps(schedule):
    steps = jnp.array([-5, 0, 21, 2**31 - 1])
    expected = [expected_lr(step) for step in steps.tolist()]
    np.testing.assert_allclose(jax.jit(schedule)(steps), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(schedule)(steps), expected, rtol=1e-6)


def test_past_the_last_cycle_its_end_value_holds():
    schedule = cycle_schedule(shapes.cosine_decay(4), [0.1, 0.3], steps_per_cycle=3)
    assert schedule(5) == schedule(6) == schedule(10**9) == jax.jit(schedule)(10**9)
    assert schedule(5) == np.float32(0.3) * shapes.cosine_decay(4)(2)


def test_one_cycle_of_one_step():
    schedule = cycle_schedule(shapes.constant(), [0.25], steps_per_cycle=1)
    assert schedule([0, 1, 2]).tolist() == [0.25] * 3


def test_the_last_step_that_jax_can_count():
    schedule = cycle_schedule(shapes.constant(), [0.25, 0.5], steps_per_cycle=2**30 - 1)
    assert schedule([2**30 - 2, 2**30 - 1, 2**31 - 3, 2**31]).tolist() == [0.25, 0.5, 0.5, 0.5]


def test_peaks_are_data_traced_and_batched():
    def lr(peaks, step):
        return cycle_schedule(shapes.triangular(4), peaks, steps_per_cycle=4)(step)

    peaks = jnp.array([[0.1, 0.2], [0.3, 0.5]])
    batched = jax.jit(jax.vmap(lr, in_axes=(0, None)))(peaks, jnp.arange(9))
    expected = [lr(row.tolist(), np.arange(9)) for row in peaks]
    np.testing.assert_allclose(batched, expected, rtol=1e-6)
    sensitivity = jax.jacobian(lr)(peaks[0], 6)
    assert sensitivity.tolist() == [0.0, 1.0]


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

    assert num_operations(3) == num_operations(1000) > 3


def test_silo_schedule_is_the_shape_times_the_peaks():
    arguments = {"lower": 0.03, "upper": 0.07, "prune_fraction": 0.3, "steepness": 3.0, "delay": 2}
    shape = shapes.warmup_step_decay(4, (8, 9))
    schedule = silo_schedule(shape, num_cycles=6, steps_per_cycle=10, **arguments)
    steps = np.arange(60)
    expected = silo_peaks(6, **arguments)[steps // 10] * shape(steps % 10)
    np.testing.assert_allclose(schedule(steps), expected, rtol=1e-6)


def test_defaults_of_silo_schedule_are_those_of_silo_peaks():
    schedule = silo_schedule(
        shapes.constant(), num_cycles=9, steps_per_cycle=1, lower=0.1, upper=0.2
    )
    assert (schedule(np.arange(9)) == silo_peaks(9, lower=0.1, upper=0.2)).all()


def test_as_the_learning_rate_of_an_optimizer(schedule):
    optimizer = optax.sgd(schedule)
    params, gradients = {"w": jnp.zeros(2)}, {"w": jnp.array([1.0, -2.0])}
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for step in range(24):
        updates, state = update(gradients, state)
        np.testing.assert_allclose(
            updates["w"], -expected_lr(step) * gradients["w"], rtol=1e-6, atol=1e-9
        )


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


def test_cycle_schedule_refuses_more_steps_than_jax_can_count():
    with refused("num_cycles * steps_per_cycle", 2**31, "at most 2147483647"):
        cycle_schedule(shapes.constant(), [0.1, 0.2], 2**30)


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (lambda: shapes.linear_decay(0), "decay_steps", 0),
        (lambda: shapes.linear_decay(3, floor=1.5), "floor", 1.5),
        (lambda: shapes.linear_decay(2**31), "decay_steps", 2**31),
        (lambda: shapes.cosine_decay(2.0), "decay_steps", 2.0),
        (lambda: shapes.cosine_decay(2, floor=-0.1), "floor", -0.1),
        (lambda: shapes.triangular(1), "total_steps", 1),
        (lambda: shapes.triangular(4, floor=2), "floor", 2),
        (lambda: shapes.one_cycle(1), "total_steps", 1),
        (lambda: shapes.one_cycle(9, warmup_share=0.0), "warmup_share", 0.0),
        (lambda: shapes.one_cycle(9, warmup_share=1.0), "warmup_share", 1.0),
        (lambda: shapes.one_cycle(9, initial_share=1.1), "initial_share", 1.1),
        (lambda: shapes.one_cycle(9, final_share=-1e-9), "final_share", -1e-09),
        (lambda: shapes.warmup_step_decay(-1), "warmup_steps", -1),
        (lambda: shapes.warmup_step_decay(1, (3, -1)), "drop_steps", -1),
        (lambda: shapes.warmup_step_decay(1, (3, 2)), "drop_steps", (3, 2)),
        (lambda: shapes.warmup_step_decay(1, (3, 3)), "drop_steps", (3, 3)),
        (lambda: shapes.warmup_step_decay(1, (3,), 1.2), "drop_factor", 1.2),
    ],
)
def test_shapes_refuse(make, field, value):
    with refused(field, value):
        make()
