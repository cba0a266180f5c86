"""Plans of pruning: closed forms, order and bounds, traced sparsities, the peaks they lead to."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import plans, silo_peaks, silo_peaks_from_sparsity
from tests.refusals import refused


def geometric_at(cycle, fraction):
    return float(1 - (1 - Fraction(float(fraction))) ** cycle)


def ramp_at(cycle, final, initial, start, end, power):
    """Eq. 1 of Zhu & Gupta, held before the start and past the end; in float64."""
    cycle = min(max(cycle, start), end)
    return final + (initial - final) * (1 - (cycle - start) / (end - start)) ** power


@pytest.mark.parametrize("fraction", [0.0, 1e-7, 0.2, 0.5, 0.99])
def test_geometric_is_its_closed_form(fraction):
    plan = plans.geometric(40, fraction)
    expected = [geometric_at(m, fraction) for m in range(40)]
    assert plan.shape == (40,)
    np.testing.assert_allclose(plan, expected, rtol=1e-5, atol=0)
    assert not np.signbit(plan).any()


def test_geometric_of_nearly_1_is_finite_with_a_finite_slope():
    plan, slope = jax.jit(jax.value_and_grad(lambda p: plans.geometric(3, p)[1]))(1 - 1e-9)
    assert (plan, slope) == (1.0, 0.0) or plan == pytest.approx(1)
    assert np.isfinite(slope)


RAMPS = {"linear": (plans.linear, 1), "cubic": (plans.cubic, 3)}


@pytest.mark.parametrize("name", RAMPS)
@settings(derandomize=True, deadline=None, max_examples=40)
@given(data=st.data())
def test_a_ramp_is_its_closed_form_and_rises_between_its_ends(name, data):
    plan_of, power = RAMPS[name]
    num_cycles = 12
    start = data.draw(st.integers(0, 12))
    end = data.draw(st.integers(start + 1, 20))
    initial = data.draw(st.sampled_from([0.0, 0.1, 0.5]))
    final = data.draw(st.floats(initial, 1))
    plan = np.asarray(plan_of(num_cycles, final, initial, start, end))
    expected = [ramp_at(m, final, initial, start, end, power) for m in range(num_cycles)]
    np.testing.assert_allclose(plan, expected, rtol=3e-7, atol=1e-12)
    assert (np.diff(plan) >= 0).all()
    assert (plan[: start + 1] == np.float32(initial)).all()
    assert (plan[end:] == np.float32(final)).all()


@pytest.mark.parametrize("name", RAMPS)
@pytest.mark.parametrize("num_cycles", [2, 3, 25])
def test_by_default_a_ramp_goes_from_0_in_the_first_cycle_to_the_last(name, num_cycles):
    plan_of, power = RAMPS[name]
    plan = plan_of(num_cycles, 0.9)
    expected = [ramp_at(m, 0.9, 0, 0, num_cycles - 1, power) for m in range(num_cycles)]
    np.testing.assert_allclose(plan, expected, rtol=3e-7, atol=1e-12)
    assert plan[0] == 0
    assert plan[-1] == np.float32(0.9)


def test_the_cubic_plan_prunes_less_and_less():
    pruned = np.diff(plans.cubic(20, 0.95))
    assert (np.diff(pruned) < 0).all()
    np.testing.assert_allclose(pruned[0], 0.95 * (1 - (18 / 19) ** 3), rtol=1e-5)


@pytest.mark.parametrize("start", [0, 2, 5, 9])
def test_one_shot_is_a_ramp_of_one_step(start):
    plan = plans.one_shot(6, 0.9, start)
    np.testing.assert_array_equal(plan, np.float32([0.9 * (m > start) for m in range(6)]))
    np.testing.assert_array_equal(plan, plans.linear(6, 0.9, start=start, end=start + 1))


PLANS = {
    "geometric": plans.geometric,
    "linear": plans.linear,
    "cubic": plans.cubic,
    "one_shot": plans.one_shot,
}


@pytest.mark.parametrize("name", PLANS)
def test_a_single_cycle_is_the_dense_one(name):
    assert PLANS[name](1, 0.5).tolist() == [0.0]


@pytest.mark.parametrize("name", PLANS)
def test_a_traced_share_gives_the_same_plan_in_a_batch(name):
    shares = np.array([0.0, 0.3, 0.9], np.float32)
    batched = jax.jit(jax.vmap(lambda share: PLANS[name](7, share)))(shares)
    for row, share in zip(batched, shares, strict=True):
        np.testing.assert_allclose(row, PLANS[name](7, float(share)), rtol=1e-6)


def test_the_slope_by_the_final_sparsity_is_the_share_of_the_way():
    slopes = jax.jit(jax.jacobian(lambda final: plans.cubic(5, final)))(0.8)
    np.testing.assert_allclose(slopes, [1 - (1 - m / 4) ** 3 for m in range(5)], rtol=1e-6)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("delay", [0, 2])
def test_the_peaks_of_a_plan_are_those_of_its_sparsities_in_a_list(name, delay):
    arguments = {"lower": 0.1, "upper": 0.3, "steepness": 2.0, "delay": delay}
    plan = PLANS[name](9, 0.6)
    peaks = silo_peaks_from_sparsity(plan, **arguments)
    x = np.concatenate([np.zeros(delay), np.asarray(plan, np.float64)])[:9]
    np.testing.assert_allclose(peaks, 0.1 + 0.2 * x**2 / (x**2 + (1 - x) ** 2), rtol=1e-6)


def test_silo_peaks_are_the_peaks_of_the_geometric_plan():
    peaks = silo_peaks_from_sparsity(plans.geometric(25, 0.3), lower=0.03, upper=0.07)
    assert (silo_peaks(25, lower=0.03, upper=0.07, prune_fraction=0.3) == peaks).all()


def test_plans_are_float_arrays_of_the_width_in_force():
    jax.config.update("jax_enable_x64", True)
    try:
        for plan_of in PLANS.values():
            assert plan_of(3, 0.5).dtype == jnp.float64
    finally:
        jax.config.update("jax_enable_x64", False)
    for plan_of in PLANS.values():
        assert plan_of(3, 0.5).dtype == jnp.float32


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (lambda: plans.geometric(0), "num_cycles", 0),
        (lambda: plans.geometric(2.0), "num_cycles", 2.0),
        (lambda: plans.geometric(3, 1.0), "prune_fraction", 1.0),
        (lambda: plans.geometric(3, -0.1), "prune_fraction", -0.1),
        (lambda: plans.geometric(3, [0.1, 0.2]), "prune_fraction", "shape (2,)"),
        (lambda: plans.linear(0, 0.5), "num_cycles", 0),
        (lambda: plans.linear(3, 1.5), "final_sparsity", 1.5),
        (lambda: plans.linear(3, "0.5"), "final_sparsity", "'0.5'"),
        (lambda: plans.linear(3, 0.5, [0.1]), "initial_sparsity", "shape (1,)"),
        (lambda: plans.cubic(3, float("nan")), "final_sparsity", "nan"),
        (lambda: plans.cubic(3, 0.5, -0.5), "initial_sparsity", -0.5),
        (lambda: plans.cubic(3, 0.25, 0.5), "final_sparsity - initial_sparsity", -0.25),
        (lambda: plans.cubic(3, 0.5, start=-1), "start", -1),
        (lambda: plans.cubic(9, 0.5, start=2, end=2), "end", 2),
        (lambda: plans.cubic(9, 0.5, end=4.0), "end", 4.0),
        (lambda: plans.one_shot(3, 0.5, start=None), "start", None),
        (lambda: plans.one_shot(3, -0.5), "final_sparsity", -0.5),
    ],
)
def test_plans_refuse(make, field, value):
    with refused(field, value):
        make()
