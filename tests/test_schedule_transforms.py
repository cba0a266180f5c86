"""Schedules in optax and under JAX's transformations: jit, vmap, scan, grad; and resumed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from silo_jax import cycle_schedule, plans, shapes, silo_peaks_from_sparsity, silo_schedule

PEAKS = [0.1, 0.4, 0.2]
LENGTHS = {"equal": 6, "unequal": [8, 6, 4]}
STARTS = {"equal": [0, 6, 12], "unequal": [0, 8, 14]}
NUM_STEPS = 18
GRADIENT = {"w": np.array([1.0, -2.0], np.float32)}


def make_schedule(kind, peaks=PEAKS):
    return cycle_schedule(shapes.warmup_step_decay(2, (3, 5), 0.5), peaks, LENGTHS[kind])


def cycle_of(kind, step):
    return max(m for m in range(3) if STARTS[kind][m] <= step)


def expected_lr(kind, step):
    step = min(step, NUM_STEPS - 1)
    cycle = cycle_of(kind, step)
    t = step - STARTS[kind][cycle]
    return PEAKS[cycle] * min(t / 2, 1) * 0.5 ** (int(t >= 3) + int(t >= 5))


@pytest.fixture(params=LENGTHS)
def kind(request):
    return request.param


def applied(optimizer, num_steps=NUM_STEPS + 3, count=0):
    """The learning rate that each step applies, with every counter of the state set to count."""
    params = {"w": jnp.zeros(2)}
    state = jax.tree.map(
        lambda leaf: jnp.full_like(leaf, count) if leaf.dtype == jnp.int32 else leaf,
        optimizer.init(params),
    )
    update = jax.jit(optimizer.update)
    rates = []
    for _ in range(num_steps):
        updates, state = update(GRADIENT, state, params)
        rates.append(-updates["w"] / GRADIENT["w"])
    return np.array(rates), state


OPTIMIZERS = {
    "sgd": optax.sgd,
    "scale_by_learning_rate": optax.scale_by_learning_rate,
    "inject_hyperparams": lambda schedule: optax.inject_hyperparams(optax.sgd)(schedule),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_as_the_learning_rate_of_an_optimizer(kind, name):
    rates, state = applied(OPTIMIZERS[name](make_schedule(kind)))
    expected = [expected_lr(kind, step) for step in range(NUM_STEPS + 3)]
    np.testing.assert_allclose(rates, np.transpose([expected] * 2), rtol=1e-6)
    if name == "inject_hyperparams":
        np.testing.assert_allclose(state.hyperparams["learning_rate"], expected[-1], rtol=1e-6)


def test_peaks_as_an_injected_hyperparameter_can_be_changed_in_the_state(kind):
    def optimizer(peaks):
        return optax.sgd(make_schedule(kind, peaks))

    injected = optax.inject_hyperparams(optimizer)(peaks=jnp.array(PEAKS))
    expected = np.array([expected_lr(kind, step) for step in range(NUM_STEPS)])
    state = injected.init(GRADIENT)
    update = jax.jit(injected.update)
    for step in range(NUM_STEPS):
        scale = 1.0 if step < 10 else 3.0
        state.hyperparams["peaks"] = scale * jnp.array(PEAKS)
        updates, state = update(GRADIENT, state)
        np.testing.assert_allclose(
            -updates["w"] / GRADIENT["w"], scale * expected[[step, step]], rtol=1e-6
        )


@pytest.mark.parametrize("first_step", [2, 6, 9])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_counter_that_starts_in_the_middle_goes_on_as_a_straight_run(kind, name, first_step):
    make = OPTIMIZERS[name]
    straight, _ = applied(make(make_schedule(kind)))
    resumed, _ = applied(make(make_schedule(kind)), len(straight) - first_step, first_step)
    np.testing.assert_array_equal(resumed, straight[first_step:])


def test_scan_over_the_steps_equals_a_call_a_step(kind):
    schedule = make_schedule(kind)

    def body(step, _):
        return step + 1, schedule(step)

    _, scanned = jax.lax.scan(body, jnp.int32(4), length=NUM_STEPS)
    expected = [expected_lr(kind, step) for step in range(4, 4 + NUM_STEPS)]
    np.testing.assert_allclose(scanned, expected, rtol=1e-6)


def test_peaks_are_a_batch_axis(kind):
    """An Oracle's grid: the same program at every candidate."""
    grid = jnp.array([[0.1, 0.2, 0.3], [0.3, 0.5, 0.1], [0.0, 0.0, 1.0]])

    def rates(peaks):
        return make_schedule(kind, peaks)(jnp.arange(NUM_STEPS))

    batched = jax.jit(jax.vmap(rates))(grid)
    shape = np.array([expected_lr(kind, t) / PEAKS[cycle_of(kind, t)] for t in range(NUM_STEPS)])
    cycles = [cycle_of(kind, t) for t in range(NUM_STEPS)]
    np.testing.assert_allclose(batched, grid[:, cycles] * shape, rtol=1e-6)


def test_the_slope_by_a_peak_is_the_shape_in_its_cycle(kind):
    steps = np.arange(NUM_STEPS)
    slopes = jax.jit(jax.jacobian(lambda peaks: make_schedule(kind, peaks)(steps)))(np.array(PEAKS))
    for step, row in zip(steps.tolist(), slopes, strict=True):
        cycle = cycle_of(kind, step)
        expected = np.zeros(3)
        expected[cycle] = expected_lr(kind, step) / PEAKS[cycle]
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_a_batch_of_bounds_and_steepnesses_is_a_batch_of_silo_schedules():
    lowers, uppers, betas = jnp.array([0.1, 0.2]), jnp.array([0.4, 0.3]), jnp.array([2.0, 5.0])

    def rates(lower, upper, steepness):
        schedule = silo_schedule(
            shapes.constant(),
            num_cycles=5,
            steps_per_cycle=[3, 1, 1, 1, 1],
            lower=lower,
            upper=upper,
            steepness=steepness,
        )
        return schedule(jnp.arange(7))

    batched = jax.jit(jax.vmap(rates))(lowers, uppers, betas)
    for row, *arguments in zip(batched, lowers, uppers, betas, strict=True):
        np.testing.assert_allclose(row, rates(*map(float, arguments)), rtol=1e-6)


@pytest.mark.parametrize(
    "plan",
    [
        plans.geometric(8, 0.3),
        plans.linear(8, 0.9),
        plans.cubic(8, 0.95, start=1, end=6),
        plans.one_shot(8, 0.9, start=2),
    ],
    ids=["geometric", "linear", "cubic", "one_shot"],
)
def test_silo_under_any_plan_rises_within_its_bounds(plan):
    peaks = silo_peaks_from_sparsity(plan, lower=0.03, upper=0.07)
    assert (np.diff(peaks) >= 0).all()
    assert peaks.min() == np.float32(0.03)
    assert np.float32(0.06) < peaks.max() <= np.float32(0.07)
    schedule = cycle_schedule(shapes.cosine_decay(10), peaks, 10)
    assert (schedule(10 * np.arange(8)) == peaks).all()
