"""The page of results: it is what the studies have left, and tells of all of them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from docs.results_numbers import FOLDER, MOMENTS, RENDA, Study, all_studies
from docs.results_page import (
    FIGURES,
    PAGE,
    figures,
    page,
    verdict_on_intervals,
    verdict_on_schedules,
    verdict_on_the_oracle,
    verdict_on_widths,
)
from docs.results_why import on_raising, raised
from silo_jax.reporting.comparison import read_comparison
from silo_jax.reporting.oracle.numbers import Share
from silo_jax.reporting.paired import Paired
from tests.reporting_comparison import accuracy, cell_rows, write_comparison


def test_the_page_is_that_of_the_committed_studies():
    studies = all_studies()
    assert PAGE.read_text() == page(studies)
    assert {path.stem for path in FIGURES.iterdir()} == set(figures(studies))


def searched(difference, silo=3, constant=2, cycles=3):
    return SimpleNamespace(
        inside=(Share(silo, cycles), Share(constant, cycles), 2.0),
        behind_oracle=Paired(*difference, pairs=3),
        oracle=SimpleNamespace(tolerance=0.5),
        times_the_steps=(9.0, 4.0),
    )


@pytest.mark.parametrize(
    ("silo", "label"), [(3, "Holds"), (2, "Holds in part"), (1, "Does not hold")]
)
def test_intervals_count_against_the_best_constant(silo, label):
    told = verdict_on_intervals([searched((0, -1, 1), silo=silo)])
    assert told.startswith(f"**{label}.** SILO's max_lr is inside in {silo} of 3 cycles")


@pytest.mark.parametrize(
    ("differences", "label"),
    [
        ([(0.0, -0.4, 0.4), (-0.1, -0.3, 0.1)], "Holds"),
        ([(0.0, -0.4, 0.4), (0.0, -0.9, 0.9)], "Holds in part"),
        ([(0.0, -0.9, 0.9)], "Not shown"),
        ([(-2.0, -3.0, -1.0)], "Does not hold"),
        ([(0.0, float("nan"), float("nan"))], "Not shown"),
    ],
)
def test_silo_is_as_good_as_the_oracle_where_the_interval_says_so(differences, label):
    told = verdict_on_the_oracle([searched(one) for one in differences])
    assert told.startswith(f"**{label}.** ")
    assert "9 times" in told
    assert "4 times" in told


@pytest.mark.parametrize(
    ("last", "label"),
    [
        ([2.0, 1.1], "Holds"),
        ([0.9, 0.5], "Does not hold"),
        ([0.9, 1.1], "Not shown"),
    ],
)
def test_narrower_is_what_is_so_with_every_seed(last, label):
    widths = np.array([[1.0, one] for one in last])
    every = {(q, m): widths for q in ("gradient", "before") for m in MOMENTS}
    assert verdict_on_widths([SimpleNamespace(widths=every)]).startswith(f"**{label}.** ")
    first = {**every, ("gradient", "end"): 1 / widths}
    mixed = "Not shown" if label == "Not shown" else "Holds in part"
    assert verdict_on_widths([SimpleNamespace(widths=first)]).startswith(f"**{mixed}.** ")


def better_silo(option, max_lr, cycle, seed):
    return accuracy("silo", max_lr, cycle, seed) - 5 * (option != "silo")


def cifar_study(folder, **files):
    write_comparison(folder / "compare", **files)
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config |= {"data": {"name": "cifar10"}, "model": {"name": "resnet20"}}
        config |= {"rewind": {"policy": "lr"}}
        config["training"] = config.get("training", {}) | {"epochs_per_cycle": 1}
        path.write_text(json.dumps(config))
    return Study(folder)


def test_a_schedule_that_wins_everywhere_is_said_to(tmp_path):
    lost = Study(FOLDER / "digits")
    won = cifar_study(tmp_path / "won", rows=cell_rows(test=better_silo))
    told = verdict_on_schedules({"hindsight": [won]})
    assert told.startswith("**Holds.** ")
    assert "in 1 of 1 study, and in 0 the 95 % interval rules that out" in told
    assert verdict_on_schedules({"hindsight": [won, lost]}).startswith("**Holds in part.** ")
    assert verdict_on_schedules({"hindsight": [lost]}).startswith("**Does not hold.** ")


def test_raising_max_lr_is_told_from_a_max_lr_that_was_too_small(tmp_path):
    """Warmup loses 3 points a pruned cycle when it starts at 0.05, and is tuned to 0.1."""

    def test(option, max_lr, cycle, seed):
        held_low = option == "warmup" and max_lr == 0.05
        return 90 + 0.1 * seed - 0.2 * (option == "warmup") - 3 * cycle * held_low

    options = ("silo", "warmup")
    write_comparison(tmp_path, cell_rows(options, test=test), options=options)
    comparison = read_comparison(tmp_path)
    low, *others = raised(comparison)
    assert low.overall.mean == pytest.approx(0.2 + 3 * (1 + 2 + 3 + 4) / 4)
    assert low.last.mean == pytest.approx(0.2 + 3 * 4)
    assert [one.overall.mean for one in others] == pytest.approx([0.2, 0.2])
    assert (low.max_lr, low.tuned) == (0.05, 0.1)
    assert on_raising([comparison]).startswith(
        "2 points or more over the pruned cycles in 1 of 3 rows; in 1 of those max_lr is smaller"
    )


def test_what_was_tried_and_what_was_published_is_beside_it(tmp_path):
    write_comparison(
        tmp_path / "range", along="schedule.upper", options=("0.2", "0.4"), chosen={"tuned": 0.1}
    )
    study = cifar_study(tmp_path, chosen={"tuned": 0.1})
    longer = json.loads((tmp_path / "range/config.json").read_text())
    longer["training"]["epochs_per_cycle"] = 3
    (tmp_path / "range/config.json").write_text(json.dumps(longer))
    told = page([*all_studies(), study])
    assert f"| {RENDA[1.0]} |" in told
    assert "| training.epochs_per_cycle=3 | upper 0.4 | 0.1 | " in told
    hindsight = told.partition("With max_lr tuned")[0]
    assert "CIFAR-10" not in hindsight.partition("With max_lr chosen")[2]
