"""The page of results: it is what the studies have left, and tells of all of them."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from docs.results_page.oracle import Inside, Searched, verdict_on_intervals, verdict_on_the_oracle
from docs.results_page.page import FIGURES, PAGE, figures, page
from docs.results_page.premise import MOMENTS, NETWORK, Measured, all_measured, verdict_on_widths
from docs.results_page.studies import FOLDER, Study, all_studies
from silo_jax.reporting.oracle.numbers import Share
from silo_jax.reporting.paired import Paired


def test_the_page_is_that_of_the_committed_studies():
    studies = all_studies()
    assert PAGE.read_text() == page(studies)
    assert {path.stem for path in FIGURES.iterdir()} == set(figures(studies))


def searched(difference, silo=3, held=2, cycles=3):
    return SimpleNamespace(
        inside=Inside(*(Share(n, cycles) for n in (silo, held, cycles, 1, 0)), 2.0, 1),
        behind=Paired(*difference, pairs=3),
        oracle=SimpleNamespace(tolerance=0.5),
        times_the_steps=(9.0, 4.0),
        values_tried=7,
    )


@pytest.mark.parametrize(
    ("silo", "held", "label"),
    [(3, 3, "Holds here"), (2, 1, "Holds in part"), (2, 2, "Does not hold here")],
)
def test_intervals_count_against_a_max_lr_that_is_held(silo, held, label):
    told = verdict_on_intervals([searched((0, -1, 1), silo=silo, held=held)])
    assert told.startswith(f"**{label}.** SILO's max_lr is inside in {silo} of 3 cycles")
    assert f"held where SILO starts, is inside in {held} (" in told
    assert told.endswith("SILO's is inside in 1 and the held one in 0.")


@pytest.mark.parametrize(
    ("differences", "label"),
    [
        ([(0.0, -0.4, 0.4), (-0.1, -0.3, 0.1)], "Holds here"),
        ([(0.0, -0.4, 0.4), (0.0, -0.9, 0.9)], "Holds in 1 of 2 studies"),
        ([(0.0, -0.9, 0.9)], "Not shown"),
        ([(-2.0, -3.0, -1.0)], "Does not hold here"),
        ([(0.0, float("nan"), float("nan"))], "Not shown"),
    ],
)
def test_silo_is_as_good_as_the_oracle_where_the_interval_says_so(differences, label):
    told = verdict_on_the_oracle([searched(one) for one in differences])
    assert told.startswith(f"**{label}.** ")
    assert "tries 7 values" in told
    assert "9 times" in told
    assert "4 times" in told


def test_what_is_held_is_the_max_lr_that_silo_starts_from():
    """Counted anew from the committed rows."""
    study = Study(FOLDER / "digits")
    rows = [row for row in study.rows("oracle/oracle_summary.csv") if row["low"]]
    first = float(rows[0]["silo_max_lr"])
    within = [float(row["low"]) <= first <= float(row["high"]) for row in rows]
    inside = Searched(study).inside
    assert inside.held == (sum(within), len(rows))
    assert inside.silo.inside == sum(row["inside"] == "1" for row in rows)
    strictly = sum(row["se_inside"] == "1" for row in rows)
    assert inside.silo_strictly == (strictly, sum(bool(row["se_low"]) for row in rows))
    assert inside.open_ends == sum("1" in (row["low_open"], row["high_open"]) for row in rows)
    rise, rise_of_silo = Searched(study).rise
    assert rise_of_silo == pytest.approx(float(rows[-1]["silo_max_lr"]) / first)
    assert rise == pytest.approx(float(rows[-1]["max_lr"]) / float(rows[0]["max_lr"]))


def measured(factors, trained="premise_held", rewinds_weights=True):
    moments = list(MOMENTS)[not rewinds_weights :]
    return SimpleNamespace(factors=factors, trained=trained, moments_of_pruning=moments)


def factors(last):
    """The last cycle's, of every seed, for all quantities and moments."""
    widths = np.array([[1.0, one] for one in last])
    return {(q, m, NETWORK): widths for q in ("gradient", "before") for m in MOMENTS}


@pytest.mark.parametrize(
    ("last", "label"),
    [
        ([2.0, 1.1], "Holds here"),
        ([0.9, 0.5], "Does not hold here"),
        ([0.9, 1.1], "Narrower in 0 and wider in 0 of 3 cases"),
    ],
)
def test_narrower_is_what_is_so_with_every_seed(last, label):
    others = measured(factors([1 / one for one in last]), "premise")
    told = verdict_on_widths([measured(factors(last)), others])
    assert f"Weight gradients: **{label}**" in told
    assert f"Hidden units before activation: **{label}**" in told


def test_narrower_gradients_are_told_apart_from_narrower_hidden_units():
    every = factors([2.0, 1.1])
    every["gradient", "end", NETWORK] = 1 / every["gradient", "end", NETWORK]
    told = verdict_on_widths([measured(every)])
    assert "Weight gradients: **Narrower in 2 and wider in 1 of 3 cases**" in told
    assert "at its end narrower in 0 and wider in 1 of 1 study" in told
    assert "Hidden units before activation: **Holds here**" in told


def test_the_start_of_a_cycle_does_not_count_where_weights_are_kept():
    every = factors([2.0, 1.1])
    every["gradient", "initialisation", NETWORK] = 1 / every["gradient", "initialisation", NETWORK]
    told = verdict_on_widths([measured(every), measured(every, rewinds_weights=False)])
    assert "Weight gradients: **Narrower in 4 and wider in 1 of 5 cases**" in told
    assert "at a cycle's start narrower in 0 and wider in 1 of 1 study" in told


def test_factors_are_the_first_width_over_each():
    """Counted anew from the committed rows."""
    study = Study(FOLDER / "digits")
    one = next(one for one in all_measured([study]) if one.trained == "premise")
    assert isinstance(one, Measured)
    widths = {
        (row["seed"], int(row["cycle"])): float(row["std"])
        for row in study.rows("premise/widths.csv")
        if (row["quantity"], row["moment"], row["layer"]) == ("gradient", "end", "Dense_1/kernel")
    }
    last = max(cycle for _, cycle in widths)
    expected = np.mean([widths[seed, 0] / widths[seed, last] for seed in ("0", "1", "2")])
    assert one.by_layer("gradient", "end")[1] == pytest.approx(expected)


def test_a_pause_of_the_machine_is_no_training(tmp_path):
    shutil.copytree(FOLDER / "digits/tune", tmp_path / "tune")
    (tmp_path / "tune/silo.csv").unlink(missing_ok=True)
    (tmp_path / "tune/grid.csv").write_text("seconds\n2\n3\n2\n700\n")
    (tune,) = Study(tmp_path).commands
    assert tune.seconds == 2 + 3 + 2 + 5 * 2.5
    assert all(np.isfinite(one.seconds) for study in all_studies() for one in study.commands)
