"""The page of results: it is what the studies have left, and tells of all of them."""

import json

from docs.results_numbers import FOLDER, RENDA, Study, all_studies
from docs.results_page import FIGURES, PAGE, figures, page, verdict_on_schedules
from tests.reporting_comparison import accuracy, cell_rows, write_comparison


def test_the_page_is_that_of_the_committed_studies():
    studies = all_studies()
    assert PAGE.read_text() == page(studies)
    assert {path.stem for path in FIGURES.iterdir()} == set(figures(studies))


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
    assert "in 1 of 1 studies, better in 1 and worse in 0." in told
    assert verdict_on_schedules({"hindsight": [won, lost]}).startswith("**Holds in part.** ")
    assert verdict_on_schedules({"hindsight": [lost]}).startswith("**Does not hold.** ")


def test_what_was_tried_and_what_was_published_is_beside_it(tmp_path):
    write_comparison(
        tmp_path / "range", along="schedule.upper", options=("0.2", "0.4"), chosen={"tuned": 0.1}
    )
    study = cifar_study(tmp_path, chosen={"tuned": 0.1})
    told = page([*all_studies(), study])
    assert f"| {RENDA[1.0]} |" in told
    assert "| schedule.upper (range) | 0.4 | 0.1 | " in told
    hindsight = told.partition("With max_lr tuned")[0]
    assert "CIFAR-10" not in hindsight.partition("With max_lr each")[2]
