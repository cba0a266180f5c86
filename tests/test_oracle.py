"""The Oracle finds a max_lr that is known, and its interval brackets it."""

import math
from itertools import pairwise

import numpy as np
import pytest

from silo_jax.studies.oracle import Grid, check_oracle, make_grid, search
from silo_jax.studies.oracle_results import OracleStudy, run_oracle, run_silo, write_fit
from tests.formula import Formula, formula_experiment
from tests.refusals import refused
from tests.run_files import rows_of

STEPS = 3


def curvature(cycle: int) -> float:
    return 10 / (cycle + 1)


def bowl(work, cell, cycle):
    """Gradient descent on h x²/2 from x = 1: with max_lr 1/h it is at the bottom at once."""
    left = (1 - cell.peaks[cycle] * curvature(cycle)) ** (2 * STEPS)
    return None if left > 1e6 else {"val_accuracy": 100 - 50 * left, "val_loss": left}


def bowl_interval(cycle: int, tolerance: float) -> tuple[float, float]:
    """Where 50 (1 − max_lr · h)^(2 · STEPS) is the tolerance."""
    reach = (tolerance / 50) ** (1 / (2 * STEPS))
    return (1 - reach) / curvature(cycle), (1 + reach) / curvature(cycle)


@pytest.fixture(scope="module")
def three_cycles():
    return formula_experiment()


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_on_a_quadratic_bowl_the_best_max_lr_is_found(three_cycles, tmp_path, scale):
    space = np.geomspace if scale == "log" else np.linspace
    grid = Grid(tuple(space(0.02, 2.0, 60).tolist()), scale, refinements=2)
    choices = list(search(Formula(three_cycles, tmp_path, bowl), grid))
    assert len(choices) == 3
    for cycle, choice in enumerate(choices):
        tried = [one.max_lr for one in choice.tried]
        best, known = choice.best.max_lr, 1 / curvature(cycle)
        nearest = min(tried, key=lambda value: abs(value * curvature(cycle) - 1))
        assert best == nearest
        assert len(tried) == 64
        found, exact = choice.interval(0.5), bowl_interval(cycle, 0.5)
        assert found.low < known < found.high
        assert not any((found.low_open, found.high_open, found.gaps))
        for end, expected in zip((found.low, found.high), exact, strict=True):
            around = [(a, b) for a, b in pairwise(tried) if a <= end <= b]
            assert any(a <= expected <= b for a, b in around)


def test_every_cycle_starts_from_the_choices_before(three_cycles, tmp_path):
    launcher = Formula(three_cycles, tmp_path, bowl)
    choices = list(search(launcher, Grid((0.1, 0.2, 0.3), refinements=0)))
    assert [choice.best.max_lr for choice in choices] == pytest.approx([0.1, 0.2, 0.3])
    assert [work for work, _ in launcher.cells] == [
        f"cycle_0{m}/stage_0" for m in range(3) for _ in range(6)
    ]
    (last,) = (
        cell
        for work, cell in launcher.cells
        if work == "cycle_02/stage_0" and cell.name == "max_lr_0.1/seed_1"
    )
    assert last.peaks == pytest.approx((0.1, 0.2, 0.1))
    assert last.after == "cycle_01/stage_0/max_lr_0.2/seed_1"
    assert last.origin == "cycle_00/stage_0/max_lr_0.1/seed_1"


def test_states_of_the_best_are_kept_and_no_others(three_cycles, tmp_path):
    list(search(Formula(three_cycles, tmp_path, bowl), Grid((0.1, 0.2, 0.3), refinements=0)))
    kept = {path.parent.relative_to(tmp_path / "cells") for path in tmp_path.rglob("checkpoints")}
    assert {str(path) for path in kept} == {
        f"cycle_0{m}/stage_0/max_lr_0.{m + 1}/seed_{seed}" for m in range(3) for seed in (0, 1)
    }
    again = Formula(three_cycles, tmp_path, bowl)
    list(search(again, Grid((0.1, 0.2, 0.3), refinements=0)))
    assert again.cells == []


def test_values_are_added_beside_the_best_one():
    log, linear = Grid((1.0, 10.0)), Grid((1.0, 10.0), "linear")
    assert log.beside([1, 10, 100], 10) == pytest.approx((10**0.5, 10**1.5))
    assert log.beside([1, 10, 100], 100) == pytest.approx((10**1.5, 1000))
    assert log.beside([1, 10, 100], 1) == pytest.approx((0.1, 10**0.5))
    assert linear.beside([1, 2, 4], 2) == pytest.approx((1.5, 3))
    assert linear.beside([1, 2, 4], 1) == pytest.approx((1.5,))  # 0 cannot be tried
    assert log.beside([1], 1) == ()


def test_the_grid_reaches_beyond_the_bounds_whichever_is_larger():
    for bounds in ((0.03, 0.1), (0.1, 0.03)):
        grid = make_grid(*bounds, num_values=7)
        assert (grid.max_lrs[0], grid.max_lrs[-1]) == pytest.approx((0.0075, 0.2))
        ratios = np.divide(grid.max_lrs[1:], grid.max_lrs[:-1])
        np.testing.assert_allclose(ratios, ratios[0])
    linear = make_grid(0.1, 0.2, num_values=8, scale="linear")
    np.testing.assert_allclose(np.diff(linear.max_lrs), 0.375 / 7)


def test_ties_go_to_the_lower_loss_and_are_told(three_cycles, tmp_path):
    losses = {0.1: 0.4, 0.2: 0.3, 0.4: 0.3, 0.8: 0.1}

    def tied(work, cell, cycle):
        value = cell.peaks[cycle]
        return {"val_accuracy": 70.0 if value == 0.8 else 80.0, "val_loss": losses[value]}

    study = OracleStudy(Grid(tuple(losses), refinements=0))
    choices = run_oracle(Formula(three_cycles, tmp_path, tied), study)
    assert {choice.best.max_lr for choice in choices} == {0.2}
    assert choices[0].tied == [0.1, 0.4]
    row = rows_of(tmp_path / "choices.csv")[0]
    assert (row["max_lr"], row["tied"]) == ("0.2", "0.1 0.4")
    assert (row["low"], row["low_open"], row["high_open"]) == ("0.1", "1", "0")
    # No spread over the seeds: within no tolerance, those of the same accuracy.
    assert float(row["standard_error"]) == 0
    assert (float(row["se_low"]), float(row["se_high"])) == pytest.approx((0.1, 0.4))


def test_what_diverges_with_one_seed_is_never_the_best(three_cycles, tmp_path):
    def partly(work, cell, cycle):
        if cell.peaks[cycle] == 0.4 and cell.seed == 1:
            return None
        return {"val_accuracy": 80 + 10 * cell.peaks[cycle], "val_loss": 0.1}

    study = OracleStudy(Grid((0.1, 0.2, 0.4), refinements=0), tolerance=5.0)
    choices = run_oracle(Formula(three_cycles, tmp_path, partly), study)
    assert {choice.best.max_lr for choice in choices} == {0.2}
    rows = rows_of(tmp_path / "choices.csv")
    assert {row["num_diverged"] for row in rows} == {"1"}
    # Up to where it was tried: no one knows how far it goes before it diverges.
    assert {(row["high"], row["high_open"]) for row in rows} == {("0.2", "0")}
    lost = [row for row in rows_of(tmp_path / "grid.csv") if row["diverged"] == "1"]
    assert {(row["max_lr"], row["seed"], row["val_accuracy"]) for row in lost} == {("0.4", "1", "")}
    assert [row["cycle"] for row in lost] == ["0", "1", "2"]


def test_a_cycle_in_which_all_diverge_ends_the_search(three_cycles, tmp_path):
    def until_1(work, cell, cycle):
        return {"val_accuracy": 80.0, "val_loss": 0.1} if cycle < 1 else None

    study = OracleStudy(Grid((0.1, 0.2), refinements=1))
    choices = run_oracle(Formula(three_cycles, tmp_path, until_1), study)
    assert [choice.best is None for choice in choices] == [False, True]
    row = rows_of(tmp_path / "choices.csv")[1]
    assert (row["max_lr"], row["low"], row["num_diverged"]) == ("", "", "2")


def test_one_seed_has_no_standard_error(tmp_path):
    experiment = formula_experiment(seeds=(0,))
    choices = run_oracle(Formula(experiment, tmp_path, bowl), OracleStudy(Grid((0.1, 0.2))))
    assert all(math.isnan(choice.standard_error) for choice in choices)
    row = rows_of(tmp_path / "choices.csv")[0]
    assert (row["se_low"], row["se_high"], row["standard_error"]) == ("", "", "")
    assert row["low"] != ""


def test_the_standard_error_is_that_of_the_mean(three_cycles, tmp_path):
    def spread(work, cell, cycle):
        return {"val_accuracy": 80.0 + 3 * cell.seed, "val_loss": 0.1}

    (choice, *_) = search(Formula(three_cycles, tmp_path, spread), Grid((0.1, 0.2)))
    assert choice.standard_error == pytest.approx(np.std([80, 83], ddof=1) / 2**0.5)


def test_silo_is_run_with_the_same_seeds(three_cycles, tmp_path):
    launcher = Formula(three_cycles, tmp_path, bowl)
    run_silo(launcher)
    rows = rows_of(tmp_path / "silo.csv")
    assert [(row["seed"], row["cycle"]) for row in rows] == [
        (str(seed), str(cycle)) for seed in (0, 1) for cycle in range(3)
    ]
    assert [float(row["max_lr"]) for row in rows] == pytest.approx(three_cycles.peaks * 2)


def test_beside_the_oracle_silo_is_silo_whatever_the_config_runs(tmp_path):
    bounds = {"schedule__lower": 0.1, "schedule__upper": 0.3}
    experiment = formula_experiment(schedule__name="constant", **bounds)
    run_silo(Formula(experiment, tmp_path, bowl))
    peaks = [float(row["max_lr"]) for row in rows_of(tmp_path / "silo.csv")]
    assert peaks == pytest.approx(formula_experiment(**bounds).peaks * 2)


def test_the_fit_is_of_the_choices(tmp_path):
    experiment = formula_experiment(num_cycles=12, pruning__fraction=0.2)
    peaks = formula_experiment(num_cycles=12, schedule__lower=0.1, schedule__upper=0.3).peaks

    def best_at_the_curve(work, cell, cycle):
        return {"val_accuracy": 90 - abs(cell.peaks[cycle] - peaks[cycle]), "val_loss": 0.1}

    grid = Grid(tuple(sorted({*peaks, 0.05, 0.6})), refinements=0)
    choices = list(search(Formula(experiment, tmp_path, best_at_the_curve), grid))
    fit = write_fit(tmp_path, choices)
    assert (fit.lower, fit.upper, fit.steepness) == pytest.approx((0.1, 0.3, 5.0), rel=1e-2)
    assert fit.delay == 1
    assert fit.rms < 1e-4 < fit.constant_rms
    assert (tmp_path / "fit.json").exists()


def test_searches_that_cannot_be_are_refused(three_cycles):
    for grid, shown in (((0.1,), "(0.1,)"), ((0.0, 0.1), "(0.0, 0.1)"), ((0.2, 0.1), "(0.2, 0.1)")):
        with refused("max_lrs", shown):
            check_oracle(three_cycles, Grid(grid))
    with refused("max_lrs", "(0.1, 0.10000001)", "values that differ"):
        check_oracle(three_cycles, Grid((0.1, 0.10000001)))
    finetuned = three_cycles.with_fields({"rewind.policy": "finetune"})
    with refused("rewind.policy", "'finetune'"):
        check_oracle(finetuned, Grid((0.1, 0.2)))
