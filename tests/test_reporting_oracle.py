"""The numbers and sentences of an Oracle's report follow from its result files."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import silo_jax
from silo_jax.reporting import write_report
from silo_jax.reporting.oracle import read_oracle
from silo_jax.reporting.oracle.numbers import (
    Share,
    best_constant,
    curve_by_cycle,
    median_width,
    share_inside,
)
from silo_jax.reporting.oracle.results import Curve
from silo_jax.reporting.oracle.tables import fit_table
from silo_jax.reporting.oracle.text import headline, notes
from tests.reporting_oracle import (
    BEST,
    GRID,
    SEEDS,
    SILO,
    choice,
    density,
    grid_rows,
    lost,
    no_choice,
    silo_rows,
    test_accuracy,
    write_search,
)
from tests.reporting_run import read_rows

CYCLES = len(BEST)
INSIDE = [True, False, True, True, False]  # SILO lies within a factor of √2 of the best


def accuracies() -> tuple[np.ndarray, np.ndarray]:
    """Test accuracy of SILO and of the Oracle, shape (cycles, seeds)."""
    silo = [[test_accuracy(m, SILO[m], s) for s in SEEDS] for m in range(CYCLES)]
    oracle = [[test_accuracy(m, GRID[BEST[m]], s) for s in SEEDS] for m in range(CYCLES)]
    return np.array(silo), np.array(oracle)


def written(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def test_headline_states_share_constant_width_difference_and_cost(tmp_path: Path) -> None:
    write_search(tmp_path)
    text = headline(read_oracle(tmp_path))
    assert text.startswith(
        "SILO's max_lr lies inside the Oracle interval, within 0.5 percentage points of the best "
        "validation accuracy, in 3 of 5 cycles (60 %)"
    )
    # The first two intervals end where the third begins.
    assert "the best constant max_lr, 0.0707, in 3 of 5 cycles (60 %)" in text
    assert "High is 2 times low in the median interval" in text
    silo, oracle = (values[1:].mean(axis=0) for values in accuracies())
    low, high = stats.ttest_rel(silo, oracle).confidence_interval(0.95)
    assert f"is {written(np.mean(silo - oracle))} percentage points on average over 4" in text
    assert f"interval {written(low)} to {written(high)}, 3 seeds paired" in text
    assert text.endswith(
        "The Oracle took 5 times SILO's training steps and 5 times its seconds, not counting what "
        "it took to find SILO's bounds."
    )


def test_best_constant_of_a_hand_made_case() -> None:
    low = np.array([0.01, 0.02, 0.04, np.nan, 0.3])
    high = np.array([0.03, 0.05, 0.2, np.nan, 0.4])
    found = best_constant(low, high)
    assert found is not None
    # Two pairs of neighbours overlap, the second, 0.04 to 0.05, by less than the first.
    assert found.share == Share(2, 4)
    assert (found.low, found.high) == pytest.approx((0.02, 0.03))
    assert found.middle == pytest.approx(0.0006**0.5)
    assert best_constant(np.array([np.nan]), np.array([np.nan])) is None
    assert median_width(low, high) == pytest.approx((2.5 + 3) / 2)


def test_best_constant_is_beaten_by_no_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        low = rng.uniform(1, 9, size=6)
        high = low + rng.uniform(0, 4, size=6)
        found = best_constant(low, high)
        assert found is not None
        counts = [((low <= x) & (x <= high)).sum() for x in np.linspace(1, 13, 2000)]
        assert found.share.inside >= max(counts)
        for value in (found.low, found.middle, found.high):
            assert share_inside(np.full(6, value), low, high) == found.share


def test_ends_lie_inside_and_cycles_without_interval_do_not_count() -> None:
    low, high = np.array([1.0, 1.0, 1.0, np.nan]), np.array([2.0, 2.0, 2.0, np.nan])
    assert share_inside(np.array([1.0, 2.0, np.nan, 1.5]), low, high) == Share(2, 2)


def test_fitted_curve_is_silos(tmp_path: Path) -> None:
    write_search(tmp_path)
    search = read_oracle(tmp_path)
    for delay in (0, 1, 3):
        bounds = {"lower": 0.03, "upper": 0.3, "steepness": 2.5, "delay": delay}
        expected = silo_jax.silo_peaks_from_sparsity(1 - search.choices["density"], **bounds)
        np.testing.assert_allclose(curve_by_cycle(Curve(**bounds, rms=0.0), search), expected, 1e-5)


def test_residuals_are_curve_over_choice_less_one(tmp_path: Path) -> None:
    fit = {"lower": 0.04, "upper": 0.2, "steepness": 2.0, "delay": 1, "rms": 0.25}
    (tmp_path / "fit.json").write_text(json.dumps(fit))
    write_search(tmp_path)
    bounds = {name: fit[name] for name in ("lower", "upper", "steepness", "delay")}
    sparsity = 1 - np.array([density(m) for m in range(CYCLES)])
    curve = np.asarray(silo_jax.silo_peaks_from_sparsity(sparsity, **bounds))
    write_report(tmp_path)
    rows = read_rows(tmp_path / "oracle_summary.csv")
    residuals = [value / GRID[best] - 1 for value, best in zip(curve, BEST, strict=True)]
    np.testing.assert_allclose([float(row["fit_residual"]) for row in rows], residuals, 1e-4)
    table = fit_table(search := read_oracle(tmp_path), search.fit)
    assert [row[-1] for row in table.rows] == [written(100 * value) for value in residuals]


def test_silo_and_the_best_constant_are_counted_in_the_same_cycles(tmp_path: Path) -> None:
    # The last three intervals share no value, the first two are one and the same.
    write_search(tmp_path, silo=silo_rows(cycles=2))
    search = read_oracle(tmp_path)
    assert "in 1 of 2 cycles (50 %); the best constant max_lr, any from " in headline(search)
    assert "in 2 of 2 cycles (100 %)" in headline(search)
    write_report(tmp_path)
    rows = read_rows(tmp_path / "oracle_summary.csv")
    assert [row["inside"] for row in rows] == ["1", "0", "", "", ""]
    assert [row["constant_inside"] for row in rows] == ["1", "1", "", "", ""]


@pytest.mark.parametrize("kind", ["oracle", "tune"])
def test_choices_that_test_data_take_part_in_are_told(tmp_path: Path, kind: str) -> None:
    pages = []
    for select in ("best_validation", "best_test"):
        write_search(tmp_path, kind=kind, select=select)
        pages.append("Test data take part in every choice" in write_report(tmp_path).read_text())
    assert pages == [False, True]


def test_oracle_summary_has_every_number(tmp_path: Path) -> None:
    write_search(tmp_path)
    write_report(tmp_path)
    silo, oracle = accuracies()
    for m, row in enumerate(read_rows(tmp_path / "oracle_summary.csv")):
        low, high = stats.ttest_rel(silo[m], oracle[m]).confidence_interval(0.95)
        expected = {
            **{name: choice(m)[name] for name in ("cycle", "density", "max_lr", "low", "high")},
            **{name: choice(m)[name] for name in ("low_open", "high_open", "se_low", "se_high")},
            **{"silo_max_lr": SILO[m], "inside": int(INSIDE[m]), "constant": 0.05 * 2**0.5},
            **{"constant_inside": int(m < 3), "val_mean": 97 - m, "test_mean": oracle[m].mean()},
            **{"test_std": oracle[m].std(ddof=1), "silo_test_mean": silo[m].mean(), "pairs": 3},
            **{"silo_test_std": silo[m].std(ddof=1), "difference": np.mean(silo[m] - oracle[m])},
            **{"difference_low": low, "difference_high": high, "num_values": 5},
            **{"num_diverged": 0, "steps": 450, "seconds": 7.5, "silo_steps": 90},
        }
        found = {name: float(row[name]) for name in expected}
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-8)
        assert row["fit_max_lr"] == ""


def test_one_seed_has_neither_standard_error_nor_interval_of_the_difference(tmp_path: Path) -> None:
    gone = ("se_low", "se_high", "se_low_open", "se_high_open", "standard_error")
    choices = [choice(m) | dict.fromkeys(gone, "") for m in range(CYCLES)]
    write_search(tmp_path, choices=choices, seeds=(1,))
    search = read_oracle(tmp_path)
    assert "(1 seed, so no confidence interval)" in headline(search)
    assert "No interval of one standard error in cycles 0–4, which takes two seeds." in notes(
        search
    )
    html = write_report(tmp_path).read_text("utf-8")
    assert "±" not in html
    assert "thin bars" not in html


def test_ties_open_ends_gaps_and_divergence_are_told(tmp_path: Path) -> None:
    choices = [choice(m) for m in range(CYCLES)]
    choices[1] |= {"tied": "0.1 0.2"}
    choices[2] |= {"gaps": 1, "num_diverged": 1}
    choices[3] |= {"low_open": 1, "num_diverged": 2}
    grid = [lost(r) if (r["cycle"], r["max_lr"]) == (2, 0.4) else r for r in grid_rows()]
    write_search(tmp_path, choices=choices, grid=grid)
    assert notes(read_oracle(tmp_path)) == [
        "Diverged with a seed or more: 3 values of 25 tried, in cycles 2–3.",
        "Ties in mean validation accuracy, decided by the lower loss: 0.05 with 0.1 0.2 in cycle "
        "1.",
        "Open below in cycle 3: the smallest max_lr tried is within the tolerance, and the "
        "interval may be wider.",
        "Open above in cycle 4: the largest max_lr tried is within the tolerance, and the "
        "interval may be wider.",
        "In cycle 2 a max_lr beyond a worse one is within the tolerance, too; the interval ends "
        "before it.",
    ]
    html = write_report(tmp_path).read_text("utf-8")
    assert "<td>0.283–0.4…</td>" in html
    assert "<td>…0.141–0.283</td>" in html


def test_silo_beyond_an_open_end_counts_as_outside_and_is_told(tmp_path: Path) -> None:
    silo = [row | {"max_lr": 0.5} if row["cycle"] == 4 else row for row in silo_rows()]
    write_search(tmp_path, silo=silo)
    search = read_oracle(tmp_path)
    assert "in 3 of 5 cycles" in headline(search)
    assert any("beyond an open end in cycle 4" in note for note in notes(search))


def test_search_that_ends_where_everything_diverged(tmp_path: Path) -> None:
    grid = [lost(row) if row["cycle"] == 3 else row for row in grid_rows(4)]
    write_search(tmp_path, choices=[*map(choice, range(3)), no_choice(3)], grid=grid)
    search = read_oracle(tmp_path)
    text = headline(search)
    assert "in 2 of 3 cycles (67 %)" in text
    assert "on average over 2 pruned cycles" in text
    told = notes(search)
    assert told[0] == "The search has 4 of 5 cycles."
    assert told[1] == "Every max_lr diverged in cycle 3, so nothing was chosen."
    write_report(tmp_path)
    last = read_rows(tmp_path / "oracle_summary.csv")[3]
    assert [last[name] for name in ("max_lr", "low", "inside", "test_mean", "difference")] == [
        ""
    ] * 5
    assert last["pairs"] == "0"


def test_search_that_found_nothing(tmp_path: Path) -> None:
    write_search(tmp_path, choices=[no_choice(0)], grid=[lost(row) for row in grid_rows(1)])
    assert headline(read_oracle(tmp_path)).startswith("Every max_lr diverged in the first cycle")
    write_report(tmp_path)


def test_search_of_the_dense_network_alone(tmp_path: Path) -> None:
    write_search(tmp_path, choices=[choice(0)], grid=grid_rows(1))
    assert "No pruned network has been trained yet." in headline(read_oracle(tmp_path))
    write_report(tmp_path)


def test_silos_seed_that_diverged_is_missing_and_told(tmp_path: Path) -> None:
    silo = [r for r in silo_rows() if (r["cycle"], r["seed"]) != (4, 1)]
    gone = next(lost(r) for r in silo_rows() if (r["cycle"], r["seed"]) == (4, 1))
    write_search(tmp_path, silo=[*silo, gone])
    search = read_oracle(tmp_path)
    ours, theirs = (values[1:, [0, 2]].mean(axis=0) for values in accuracies())
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert f"interval {written(low)} to {written(high)}, 2 seeds paired" in headline(search)
    assert "SILO lacks seeds in cycle 4; its means are over the others." in notes(search)
    assert "in 3 of 5 cycles" in headline(search)
