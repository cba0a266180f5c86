"""Oracle intervals in closed form, and the fit of the S-curve."""

import numpy as np
import pytest

from silo_jax import plans, silo_peaks, silo_peaks_from_sparsity
from silo_jax.studies.fit import fit_s_curve
from silo_jax.studies.interval import oracle_interval
from tests.refusals import refused

NAN = float("nan")


def test_the_ends_lie_where_the_accuracy_crosses_the_threshold():
    # Straight lines in log max_lr: up by 1 point a decade to 0.1, then down by 4 points a decade.
    values = [1e-3, 1e-2, 1e-1, 1.0]
    found = oracle_interval(values, [88.0, 89.0, 90.0, 86.0], 0.1, 0.5)
    assert (found.low, found.high) == pytest.approx((10**-1.5, 10**-0.875))
    assert (found.low_open, found.high_open, found.gaps) == (False, False, False)


@pytest.mark.parametrize("tolerance", [0.0, 0.3, 2.0])
def test_a_wider_tolerance_gives_a_wider_interval_that_has_the_best(tolerance):
    random = np.random.default_rng(0)
    for _ in range(50):
        values = np.sort(random.uniform(0.01, 1.0, 9)).tolist()
        accuracies = random.uniform(80, 90, 9)
        best = values[int(np.argmax(accuracies))]
        narrow = oracle_interval(values, accuracies, best, tolerance)
        wide = oracle_interval(values, accuracies, best, tolerance + 1)
        assert wide.low <= narrow.low <= best <= narrow.high <= wide.high


def test_an_interval_that_reaches_the_end_is_open():
    found = oracle_interval([0.1, 0.2, 0.4], [90.0, 90.2, 85.0], 0.2, 0.5)
    assert (found.low, found.low_open, found.high_open) == (0.1, True, False)


def test_no_tolerance_leaves_the_best_and_its_equals_beside_it():
    found = oracle_interval([0.1, 0.2, 0.4, 0.8], [89.0, 90.0, 90.0, 88.0], 0.2, 0.0)
    assert (found.low, found.high) == pytest.approx((0.2, 0.4))


def test_what_lies_beyond_a_worse_value_is_a_gap():
    found = oracle_interval([0.1, 0.2, 0.4, 0.8], [90.0, 80.0, 90.1, 80.0], 0.4, 0.5)
    assert found.gaps
    assert 0.2 < found.low < 0.4


def test_beside_a_value_that_diverged_it_ends_where_it_was_tried():
    found = oracle_interval([0.1, 0.2, 0.4], [NAN, 90.0, NAN], 0.2, 0.5)
    assert found == (0.2, 0.2, False, False, False)


def test_there_is_none_without_a_tolerance_or_a_best():
    assert oracle_interval([0.1, 0.2], [90.0, 80.0], 0.1, NAN) is None
    assert oracle_interval([0.1, 0.2], [NAN, 80.0], 0.1, 0.5) is None


@pytest.mark.parametrize(
    ("lower", "upper", "steepness", "delay"),
    [(0.03, 0.07, 5.0, 1), (0.1, 0.02, 3.0, 0), (0.04, 0.5, 8.0, 3), (0.2, 0.4, 1.0, 2)],
)
def test_the_fit_finds_the_curve_that_is_there(lower, upper, steepness, delay):
    sparsities = plans.geometric(25, 0.2)
    options = {"lower": lower, "upper": upper, "steepness": steepness, "delay": delay}
    fit = fit_s_curve(silo_peaks_from_sparsity(sparsities, **options), sparsities)
    assert fit.delay == delay
    assert (fit.lower, fit.upper, fit.steepness) == pytest.approx(
        (lower, upper, steepness), rel=1e-3
    )
    assert fit.rms < 1e-4


def test_residuals_are_those_of_the_curve_and_no_worse_than_a_constants():
    random = np.random.default_rng(1)
    target = random.uniform(0.05, 0.2, 12)
    fit = fit_s_curve(target, plans.geometric(12, 0.2))
    bounds = {"lower": fit.lower, "upper": fit.upper, "steepness": fit.steepness}
    curve = np.asarray(silo_peaks(12, prune_fraction=0.2, delay=fit.delay, **bounds))
    np.testing.assert_allclose(fit.residuals, curve / target - 1, atol=1e-5)
    assert fit.rms == pytest.approx(np.sqrt(np.mean(np.square(fit.residuals))), abs=1e-6)
    # The constant of least relative residuals: c = Σ 1/y / Σ 1/y².
    constant = np.sum(1 / target) / np.sum(1 / target**2)
    assert fit.constant_rms == pytest.approx(np.sqrt(np.mean((constant / target - 1) ** 2)))
    assert fit.rms <= fit.constant_rms


def test_four_numbers_are_not_fitted_to_four():
    with refused("cycles", 4):
        fit_s_curve([0.1, 0.2, 0.3, 0.4], [0.0, 0.2, 0.36, 0.488])
