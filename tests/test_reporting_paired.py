"""Paired differences, and statistics over seeds that may be missing, are scipy's and numpy's."""

import numpy as np
import pytest
from scipy import stats

from silo_jax.reporting.aggregate import over_present
from silo_jax.reporting.paired import Paired, format_difference, paired_difference


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_paired_difference_is_scipys(seeds: int) -> None:
    ours, others = np.random.default_rng(seeds).normal(size=(2, seeds))
    found = paired_difference(ours, others)
    expected = stats.ttest_rel(ours, others).confidence_interval(0.95)
    np.testing.assert_allclose(found, (np.mean(ours - others), *expected, seeds))


def test_pairs_with_a_missing_seed_do_not_count() -> None:
    rng = np.random.default_rng(0)
    ours, others = rng.normal(size=(2, 6))
    whole = paired_difference(ours[2:], others[2:])
    ours[0], others[1] = np.nan, np.nan
    assert paired_difference(ours, others) == whole


def test_one_pair_has_no_interval_and_none_has_no_mean() -> None:
    np.testing.assert_equal(paired_difference([3.0], [1.0]), (2.0, np.nan, np.nan, 1))
    np.testing.assert_equal(paired_difference([np.nan], [1.0]), (np.nan, np.nan, np.nan, 0))


def test_equal_differences_have_an_interval_of_no_width() -> None:
    assert paired_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]) == (2.0, 2.0, 2.0, 3)


def test_differences_are_written_with_their_signs() -> None:
    assert format_difference(Paired(-0.5, -1.25, 0.25, 3)) == "−0.50 [−1.25, +0.25]"
    assert format_difference(Paired(0.5, np.nan, np.nan, 1)) == "+0.50"
    assert format_difference(Paired(np.nan, np.nan, np.nan, 0)) == "–"


def test_over_present_is_numpys_over_the_seeds_that_are_there() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 5))
    values[1, 2, 3] = values[0, 0, :4] = values[3, 1] = np.nan
    found = over_present(values)
    there = np.isfinite(values)
    np.testing.assert_array_equal(found.seeds, there.sum(axis=-1))
    for place in np.ndindex(4, 3):
        left = values[place][there[place]]
        mean = left.mean() if left.size else np.nan
        std = left.std(ddof=1) if left.size > 1 else np.nan
        np.testing.assert_allclose((found.mean[place], found.std[place]), (mean, std))
