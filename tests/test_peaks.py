"""The S-curve and the peaks: closed forms, edge values, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import s_curve, silo_peaks, silo_peaks_from_sparsity
from tests.refusals import refused

STEEPNESSES = (0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 1e3)
INSIDE = np.concatenate([[1e-30, 1e-6, 1e-3], np.linspace(0.01, 0.99, 99), [1 - 1e-3, 1 - 1e-6]])
INSIDE = INSIDE.astype(np.float32)


slopes = jax.jit(jax.vmap(jax.grad(s_curve, argnums=(0, 1)), in_axes=(0, None)))
curvature = jax.jit(jax.grad(jax.grad(s_curve)))


def authors_curve(x, steepness):
    """As the authors write it, in 64-bit floats; 0 < x < 1."""
    x = np.asarray(x, np.float64)
    with np.errstate(over="ignore"):
        return 1 / (1 + (x / (1 - x)) ** -steepness)


def authors_peaks(num_cycles, lower, span, steepness, delay, fraction):
    sparsities = [1 - (1 - fraction) ** (m - delay) if m > delay else 0 for m in range(num_cycles)]
    curve = [authors_curve(x, steepness) if x > 0 else 0 for x in sparsities]
    return np.array([lower + span * s for s in curve])


@pytest.mark.parametrize("steepness", STEEPNESSES)
def test_s_curve_equals_the_authors_formula(steepness):
    tolerance = 1e-6 + 1e-7 * steepness  # β times the rounding of a float32 base
    expected = authors_curve(INSIDE, steepness)
    np.testing.assert_allclose(s_curve(INSIDE, steepness), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("steepness", STEEPNESSES)
def test_s_curve_goes_from_0_through_one_half_to_1_and_is_symmetric(steepness):
    assert s_curve([0.0, 0.5, 1.0], steepness).tolist() == [0.0, 0.5, 1.0]
    quarters = np.arange(0, 1.25, 0.25)  # where 1 − x is exact
    np.testing.assert_allclose(
        s_curve(quarters, steepness) + s_curve(1 - quarters, steepness), 1, rtol=1e-6
    )
    assert (np.diff(s_curve(np.linspace(0, 1, 101), steepness)) >= 0).all()


def test_s_curve_of_steepness_1_is_the_straight_line():
    np.testing.assert_allclose(s_curve(INSIDE, 1.0), INSIDE, rtol=3e-7)


@pytest.mark.parametrize("steepness", STEEPNESSES)
def test_slopes_of_the_s_curve_are_their_closed_forms(steepness):
    x = np.linspace(0.05, 0.95, 19).astype(np.float32)
    by_sparsity, by_steepness = slopes(jnp.asarray(x), steepness)

    exact = x.astype(np.float64)
    product = authors_curve(exact, steepness) * authors_curve(1 - exact, steepness)  # s (1 − s)
    logit = np.log(exact / (1 - exact))
    tolerance = {"rtol": 1e-6 + 1e-6 * steepness, "atol": 1e-30}
    np.testing.assert_allclose(
        by_sparsity, steepness * product / (exact * (1 - exact)), **tolerance
    )
    np.testing.assert_allclose(by_steepness, product * logit, **tolerance)


@pytest.mark.parametrize("steepness", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("x", [0.2, 0.45, 0.8])
def test_curvature_of_the_s_curve_is_its_closed_form(x, steepness):
    s = authors_curve(x, steepness)
    slope = steepness * s * (1 - s) / (x * (1 - x))
    expected = slope * (steepness * (1 - 2 * s) - (1 - 2 * x)) / (x * (1 - x))
    np.testing.assert_allclose(curvature(x, steepness), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steepness", STEEPNESSES)
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_slopes_at_the_ends_of_the_s_curve(end, steepness):
    for of in (slopes, slopes.__wrapped__):
        by_sparsity, by_steepness = of(jnp.array([end]), steepness)
        assert by_sparsity == (1.0 if steepness == 1 else 0.0)
        assert by_steepness == 0.0


@pytest.mark.parametrize("steepness", STEEPNESSES)
def test_slopes_of_the_s_curve_are_finite_up_to_its_ends(steepness):
    assert np.isfinite(slopes(jnp.asarray(INSIDE), steepness)).all()


def test_s_curve_broadcasts_and_jit_equals_eager():
    x, steepness = INSIDE[:, None], np.array([0.5, 1.0, 5.0])
    eager = s_curve(x, steepness)
    assert eager.shape == (len(INSIDE), 3)
    np.testing.assert_allclose(jax.jit(s_curve)(x, steepness), eager, rtol=1e-6)


@pytest.mark.parametrize(("lower", "span"), [(0.03, 0.04), (0.04, 0.06)], ids=["resnet20", "vgg19"])
def test_peaks_equal_the_authors_formula(lower, span):
    peaks = silo_peaks(
        25, lower=lower, upper=lower + span, prune_fraction=0.2, steepness=5.0, delay=1
    )
    expected = authors_peaks(25, lower, span, steepness=5, delay=1, fraction=0.2)
    assert peaks.shape == (25,)
    np.testing.assert_allclose(peaks, expected, rtol=0, atol=1e-6)


def test_peaks_of_resnet20_are_those_the_authors_code_gives():
    listed = [0.03, 0.03, 0.030039, 0.032132, 0.047611, 0.064461, 0.068929, 0.069775, 0.069947]
    listed += [0.069987, 0.069996, 0.069999] + [0.07] * 13
    np.testing.assert_allclose(silo_peaks(25, lower=0.03, upper=0.07), listed, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steepness", [1.0, 5.0, 1e3])
@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize("fraction", [0.1, 0.7, 0.95])
def test_peaks_for_other_numbers(fraction, delay, steepness):
    peaks = silo_peaks(
        12, lower=0.1, upper=0.6, prune_fraction=fraction, steepness=steepness, delay=delay
    )
    expected = authors_peaks(12, 0.1, 0.5, steepness, delay, fraction)
    np.testing.assert_allclose(peaks, expected, rtol=0, atol=1e-6 + 1e-7 * steepness)


@pytest.mark.parametrize("delay", [0, 1, 5, 2**40])
def test_the_dense_network_trains_at_the_lower_bound(delay):
    peaks = silo_peaks(3, lower=0.3, upper=0.7, delay=delay)
    num_dense = min(delay + 1, 3)
    assert (peaks[:num_dense] == np.float32(0.3)).all()
    assert (peaks[num_dense:] > np.float32(0.3)).all()


def test_a_single_cycle_is_the_dense_one():
    assert silo_peaks(1, lower=0.5, upper=1.0, delay=0).tolist() == [0.5]


def test_pruning_nothing_stays_at_the_lower_bound():
    assert silo_peaks(4, lower=0.5, upper=1.0, prune_fraction=0.0).tolist() == [0.5] * 4


def test_a_tiny_fraction_is_not_rounded_away():
    peaks = silo_peaks(6, lower=0.0, upper=1.0, prune_fraction=1e-6, steepness=1.0, delay=0)
    np.testing.assert_allclose(peaks, authors_peaks(6, 0, 1, 1, 0, 1e-6), rtol=1e-5)


@pytest.mark.parametrize("fraction", [1 - 1e-6, 1 - 1e-9])
def test_a_fraction_near_1_goes_to_the_upper_bound_at_once(fraction):
    peaks = silo_peaks(4, lower=0.25, upper=0.75, prune_fraction=fraction, delay=0)
    assert peaks.tolist() == [0.25, 0.75, 0.75, 0.75]


def test_peaks_from_any_sequence_of_sparsities():
    sparsities = np.array([0.0, 0.9, 0.1, 0.5, 0.99])
    for delay in range(7):
        peaks = silo_peaks_from_sparsity(sparsities, lower=0.1, upper=0.3, delay=delay)
        delayed = [sparsities[m - delay] if m > delay else 0.0 for m in range(5)]
        expected = [0.1 + 0.2 * authors_curve(x, 5) if x else 0.1 for x in delayed]
        np.testing.assert_allclose(peaks, expected, rtol=0, atol=1e-6)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    sparsities=st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6),
    bounds=st.tuples(*[st.floats(0, 8, width=32)] * 2),
    steepness=st.sampled_from([0.5, 1.0, 5.0]),
)
def test_peaks_stay_within_their_bounds_and_rise_with_the_sparsity(sparsities, bounds, steepness):
    peaks = silo_peaks_from_sparsity(
        sorted(sparsities), lower=bounds[0], upper=bounds[1], steepness=steepness, delay=0
    )
    assert min(bounds) <= peaks.min()
    assert peaks.max() <= max(bounds)
    rises = np.diff(peaks) * np.sign(bounds[1] - bounds[0])
    assert (rises >= -np.spacing(np.float32(max(bounds)))).all()


@pytest.mark.parametrize("bounds", [(0.03, 0.07), (0.1, 0.3), (0.3, 1.7), (0.7, 0.1)])
def test_both_bounds_are_reached_to_the_last_digit(bounds):
    peaks = silo_peaks_from_sparsity([0.0, 1.0], lower=bounds[0], upper=bounds[1], delay=0)
    assert peaks.tolist() == np.float32(bounds).tolist()


def test_an_upper_bound_below_the_lower_makes_the_peaks_fall():
    peaks = silo_peaks(30, lower=0.5, upper=0.25)
    assert (np.diff(peaks) <= 0).all()
    assert peaks[0] == 0.5
    np.testing.assert_allclose(peaks[-1], 0.25, atol=1e-6)


def peaks_of(lower, upper, fraction, steepness):
    return silo_peaks(7, lower=lower, upper=upper, prune_fraction=fraction, steepness=steepness)


peak_slopes = jax.jit(jax.jacobian(peaks_of, argnums=(0, 1, 2, 3)))


@pytest.mark.parametrize("steepness", STEEPNESSES)
@pytest.mark.parametrize("fraction", [0.0, 1e-6, 0.2, 1 - 1e-6])
def test_gradients_of_the_peaks_are_finite(fraction, steepness):
    by_lower, by_upper, by_fraction, by_steepness = peak_slopes(0.1, 0.2, fraction, steepness)
    share = peaks_of(0.0, 1.0, fraction, steepness)
    np.testing.assert_allclose(by_lower, 1 - share, atol=1e-6)
    np.testing.assert_allclose(by_upper, share, atol=1e-6)
    assert np.isfinite(by_fraction).all()
    assert np.isfinite(by_steepness).all()


def test_peaks_under_jit_and_vmap_equal_the_eager_ones():
    uppers, steepnesses = jnp.array([0.2, 0.5, 0.9]), jnp.array([0.5, 1.0, 8.0])
    batched = jax.jit(jax.vmap(peaks_of, in_axes=(None, 0, None, 0)))(0.1, uppers, 0.3, steepnesses)
    for row, upper, steepness in zip(batched, uppers, steepnesses, strict=True):
        np.testing.assert_allclose(row, peaks_of(0.1, upper, 0.3, steepness), rtol=1e-6)


def test_traced_sparsities_may_come_in_a_list():
    expected = [0.0, authors_curve(0.3, 5), 1.0]
    np.testing.assert_allclose(jax.jit(lambda x: s_curve([0, x, 1]))(0.3), expected, atol=1e-6)

    @jax.jit
    def peaks(x):
        return silo_peaks_from_sparsity([0, x, 1], lower=0.0, upper=1.0, delay=0)

    np.testing.assert_allclose(peaks(0.3), expected, atol=1e-6)


@pytest.mark.parametrize("value", [-1e-6, 1.00000001, float("nan"), "0.3", None, [0.5, 2.0]])
def test_s_curve_refuses_what_is_no_sparsity(value):
    shown = 2.0 if isinstance(value, list) else repr(value)
    with refused("sparsity", shown, "numbers " if value in ("0.3", None) else "between 0 and 1"):
        s_curve(value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_s_curve_refuses_what_is_no_steepness(value):
    with refused("steepness", value, "finite, greater than 0"):
        s_curve(0.5, value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lower", -0.1),
        ("lower", float("inf")),
        ("upper", -0.1),
        ("upper", float("nan")),
        ("prune_fraction", 1.0),
        ("prune_fraction", -0.1),
        ("steepness", 0.0),
        ("delay", -1),
        ("delay", 1.5),
        ("delay", True),
        ("num_cycles", 0),
        ("num_cycles", 2.0),
    ],
)
def test_silo_peaks_refuses(field, value):
    arguments = {"num_cycles": 3, "lower": 0.1, "upper": 0.2, field: value}
    with refused(field, value):
        silo_peaks(**arguments)


@pytest.mark.parametrize("field", ["lower", "upper", "steepness", "prune_fraction"])
@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
def test_bounds_and_steepness_are_scalars(field, kind):
    arguments = {"lower": 0.1, "upper": 0.2, field: kind([0.3, 0.4, 0.5])}
    with refused(field, "shape (3,)", "a scalar"):
        silo_peaks(3, **arguments)


@pytest.mark.parametrize("sparsities", [[], 0.5, [[0.1, 0.2]]])
def test_sparsities_are_a_vector(sparsities):
    with refused("sparsities", f"shape {np.shape(sparsities)}", "(num_cycles,)"):
        silo_peaks_from_sparsity(sparsities, lower=0.1, upper=0.2)


def test_a_sparsity_out_of_range_is_refused():
    with refused("sparsities", 1.5, "between 0 and 1"):
        silo_peaks_from_sparsity([0.0, 1.5, 0.0], lower=0.1, upper=0.2)
