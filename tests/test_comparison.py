"""What is compared, how a max_lr is chosen, and which cells are run."""

from dataclasses import replace
from functools import partial

import pytest

from silo_jax import silo_peaks
from silo_jax.studies.candidates import (
    SCHEDULES,
    compare_schedules,
    compare_values,
    default_grid,
)
from silo_jax.studies.comparison import check_comparison, run_comparison
from tests.formula import Formula, formula_experiment
from tests.refusals import refused
from tests.run_files import rows_of


@pytest.fixture(scope="module")
def three_cycles():
    return formula_experiment(schedule__lower=0.1, schedule__upper=0.3)


def chosen(directory) -> dict:
    return {(row["way"], row["option"]): row for row in rows_of(directory / "chosen.csv")}


def peak_at(dense: float, pruned: float):
    """The best max_lr is one for the dense network and another for the pruned ones."""

    def formula(work, cell, cycle):
        best = dense if cycle == 0 else pruned
        return {"val_accuracy": 90 - abs(cell.peaks[cycle] - best), "val_loss": 0.1}

    return formula


def test_every_schedule_meets_the_same_grid_and_silo_rises_along(three_cycles):
    comparison = compare_schedules(three_cycles, max_lrs=[0.2, 0.05])
    assert comparison.options == tuple(SCHEDULES)
    by_option = {}
    for candidate in comparison.candidates:
        by_option.setdefault(candidate.option, []).append(candidate.max_lr)
        peaks = three_cycles.with_fields(candidate.fields).peaks
        if candidate.option == "silo":
            bounds = {"lower": candidate.max_lr, "upper": 3 * candidate.max_lr}
            assert peaks == pytest.approx(silo_peaks(3, **bounds).tolist())
        else:
            assert peaks == [candidate.max_lr] * 3
    assert set(map(tuple, by_option.values())) == {(0.05, 0.2)}


@pytest.mark.parametrize("bounds", [(0.03, 0.1), (0.1, 0.1), (0.2, 0.1), (0.1, 0.4)])
def test_the_default_grid_has_the_bound_and_reaches_beyond_both(bounds):
    lower, upper = bounds
    grid = default_grid(lower, upper)
    assert lower in grid
    assert grid[0] <= lower / 4
    assert 2 * upper <= grid[-1] * (1 + 1e-9)


def test_a_max_lr_is_chosen_on_validation_accuracy_dense_or_over_all_cycles(three_cycles, tmp_path):
    comparison = compare_schedules(
        three_cycles, schedules=["silo", "warmup"], max_lrs=[0.1, 0.2, 0.4]
    )
    run_comparison(Formula(three_cycles, tmp_path, peak_at(0.1, 0.4)), comparison)
    found = chosen(tmp_path)
    assert float(found["tuned", "warmup"]["max_lr"]) == 0.1
    assert float(found["hindsight", "warmup"]["max_lr"]) == 0.4
    assert found["tuned", "warmup"]["at_edge"] == found["hindsight", "warmup"]["at_edge"] == "1"
    assert float(found["tuned", "warmup"]["val_accuracy"]) == 90
    assert float(found["hindsight", "warmup"]["val_accuracy"]) == pytest.approx(90 - 0.3 / 3)
    rows = rows_of(tmp_path / "cells.csv")
    assert len(rows) == 2 * 3 * 2 * 3  # options, max_lrs, seeds, cycles
    silo = [row for row in rows if (row["option"], row["max_lr"]) == ("silo", "0.2")]
    peaks = silo_peaks(3, lower=0.2, upper=0.6).tolist()
    assert [float(row["cycle_max_lr"]) for row in silo] == pytest.approx(peaks * 2)
    assert {row["steps"] for row in rows} == {str(three_cycles.lengths.steps_per_cycle)}


def test_of_equally_good_ones_the_lower_loss_wins_then_the_smaller(three_cycles, tmp_path):
    def flat(work, cell, cycle):
        loss = {"warmup": 1 - cell.peaks[0], "linear": 0.5}.get(work.name, 0.5)
        return {"val_accuracy": 80.0, "val_loss": loss}

    names = ["silo", "warmup", "linear"]
    comparison = compare_schedules(three_cycles, schedules=names, max_lrs=[0.1, 0.2])
    run_comparison(Formula(three_cycles, tmp_path, flat), comparison)
    assert float(chosen(tmp_path)["tuned", "warmup"]["max_lr"]) == 0.2
    assert float(chosen(tmp_path)["tuned", "linear"]["max_lr"]) == 0.1


def test_without_hindsight_only_the_tuned_go_on(three_cycles, tmp_path):
    comparison = compare_schedules(
        three_cycles, schedules=["silo", "warmup"], max_lrs=[0.1, 0.2, 0.4], hindsight=False
    )
    launcher = Formula(three_cycles, tmp_path, peak_at(0.2, 0.4))
    run_comparison(launcher, comparison)
    ends = [(cell.name, cell.end_cycle) for work, cell in launcher.cells if work == "warmup"]
    dense = [(f"max_lr_{value}/seed_{seed}", 1) for value in (0.1, 0.2, 0.4) for seed in (0, 1)]
    assert ends == [*dense, ("max_lr_0.2/seed_0", 3), ("max_lr_0.2/seed_1", 3)]
    assert {way for way, _ in chosen(tmp_path)} == {"tuned"}
    assert len(rows_of(tmp_path / "cells.csv")) == 2 * (2 * 2 + 2 * 3)
    kept = {path.parts[-3:-1] for path in tmp_path.glob("cells/warmup/*/*/checkpoints")}
    assert kept == {("max_lr_0.2", "seed_0"), ("max_lr_0.2", "seed_1")}


def test_the_first_seeds_choose_and_the_others_are_trained_with_what_was_chosen(tmp_path):
    experiment = formula_experiment(seeds=(3, 1, 2), schedule__lower=0.1, schedule__upper=0.3)
    comparison = compare_schedules(
        experiment, schedules=["silo", "warmup"], max_lrs=[0.1, 0.2, 0.4], tuning_seeds=1
    )

    def formula(work, cell, cycle):
        best = {3: (0.1, 0.2), 1: (0.4, 0.4), 2: (0.4, 0.4)}[cell.seed][min(cycle, 1)]
        return {"val_accuracy": 90 - abs(cell.peaks[0] - best), "val_loss": 0.1}

    launcher = Formula(experiment, tmp_path, formula)
    assert run_comparison(launcher, comparison)
    trained = [(cell.name, cell.end_cycle) for work, cell in launcher.cells if work == "warmup"]
    choosing = [(f"max_lr_{value}/seed_3", 3) for value in (0.1, 0.2, 0.4)]
    assert trained[:3] == choosing
    of_the_chosen = {(f"max_lr_{value}/seed_{seed}", 3) for value in (0.1, 0.2) for seed in (1, 2)}
    assert set(trained[3:]) == of_the_chosen
    found = chosen(tmp_path)
    assert float(found["tuned", "warmup"]["max_lr"]) == 0.1
    assert float(found["hindsight", "warmup"]["max_lr"]) == 0.2
    assert comparison.cycles_to_train(3, num_seeds=3) == 2 * (3 + 2 * 2) * 3


def test_what_diverges_is_not_chosen_and_is_told(three_cycles, tmp_path):
    def diverging(work, cell, cycle):
        if work.name == "linear" or (cell.peaks[0], cell.seed, cycle) == (0.2, 1, 1):
            return None
        return {"val_accuracy": 80 + 10 * cell.peaks[0], "val_loss": 0.1}

    names = ["silo", "warmup", "linear"]
    comparison = compare_schedules(three_cycles, schedules=names, max_lrs=[0.1, 0.2])
    run_comparison(Formula(three_cycles, tmp_path, diverging), comparison)
    found = chosen(tmp_path)
    assert float(found["tuned", "warmup"]["max_lr"]) == 0.2  # the dense network was sound
    assert float(found["hindsight", "warmup"]["max_lr"]) == 0.1
    assert found["tuned", "linear"]["max_lr"] == found["hindsight", "linear"]["max_lr"] == ""
    lost = [row for row in rows_of(tmp_path / "cells.csv") if row["diverged"] == "1"]
    warmup = [row for row in lost if row["option"] == "warmup"]
    assert [(row["max_lr"], row["seed"], row["cycle"]) for row in warmup] == [("0.2", "1", "1")]
    assert {row["test_accuracy"] for row in lost} == {""}


def test_results_of_finished_cells_are_taken_up(three_cycles, tmp_path):
    few = compare_schedules(three_cycles, schedules=["silo", "warmup"], max_lrs=[0.1])
    run_comparison(Formula(three_cycles, tmp_path, peak_at(0.1, 0.4)), few)
    more = compare_schedules(
        three_cycles, schedules=["silo", "linear", "warmup"], max_lrs=[0.1, 0.2]
    )
    launcher = Formula(three_cycles, tmp_path, peak_at(0.1, 0.4))
    run_comparison(launcher, more)
    again = {(work, cell.name.partition("/")[0]) for work, cell in launcher.cells}
    assert again == {(name, "max_lr_0.2") for name in ("silo", "warmup", "linear")} | {
        ("linear", "max_lr_0.1")
    }


@pytest.mark.parametrize(
    ("field", "texts", "options"),
    [
        ("rewind.policy", ["lr", "weights", "reinit"], ("weights", "lr", "reinit")),
        ("pruning.criterion", ["random"], ("magnitude", "random")),
        ("schedule.steepness", ["2", "8"], ("5.0", "2.0", "8.0")),
        ("schedule.delay", ["0", "3"], ("1", "0", "3")),
        ("schedule.upper", ["0.3", "0.6"], ("0.3", "0.6")),
        ("training.nesterov", ["true"], ("False", "True")),
    ],
)
def test_values_of_a_field_are_compared_with_the_configs_own(three_cycles, field, texts, options):
    comparison = compare_values(three_cycles, field, texts)
    assert (comparison.options, comparison.reference) == (options, options[0])
    assert comparison.described()["max_lrs"] == ()
    check_comparison(three_cycles, comparison)


def test_a_rewind_point_goes_where_weights_are_not_rewound():
    late = formula_experiment(rewind__epoch=1)
    check_comparison(late, compare_values(late, "rewind.policy", ["lr"]))


def test_the_max_lr_of_values_is_that_of_their_dense_network(three_cycles):
    comparison = compare_values(three_cycles, "schedule.lower", ["0.05"])
    assert [candidate.max_lr for candidate in comparison.candidates] == pytest.approx([0.1, 0.05])


def test_when_all_diverge_nothing_is_chosen(three_cycles, tmp_path):
    for hindsight in (True, False):
        comparison = compare_schedules(three_cycles, max_lrs=[0.1, 0.2], hindsight=hindsight)
        directory = tmp_path / str(hindsight)
        assert not run_comparison(Formula(three_cycles, directory, lambda *_: None), comparison)
        assert {row["max_lr"] for row in rows_of(directory / "chosen.csv")} == {""}


def test_streamed_images_leave_out_what_has_to_measure_on_them(three_cycles):
    config = three_cycles.config.copy_and_resolve_references()
    config.data.image_size = 32
    streamed = replace(three_cycles, config=config)
    assert "gradient_matched" not in compare_schedules(streamed).options
    assert "gradient_matched" in compare_schedules(three_cycles).options


def test_a_cycle_of_an_epoch_leaves_none_to_choose_from_but_the_last():
    """The digits have 20 steps an epoch here."""
    fields = {"evaluation__select": "best_validation", "evaluation__last_epoch": False}
    whole = {"training__epochs_per_cycle": 0, "training__steps_per_cycle": 20}
    with refused("evaluation.last_epoch", False, "True with cycles of 20 steps"):
        formula_experiment(**fields, **whole)
    formula_experiment(**fields, **whole | {"training__steps_per_cycle": 21})


def test_comparisons_that_cannot_be_are_refused(three_cycles):
    with refused("max_lrs", "(0.1, 0.10000001)", "values that differ"):
        compare_schedules(three_cycles, max_lrs=[0.1, 0.10000001])
    retrying = formula_experiment(training__divergence_retries=1)
    for compare in (
        compare_schedules,
        partial(compare_values, field="rewind.policy", texts=["lr"]),
    ):
        with refused("training.divergence_retries", 1, "0 in studies"):
            compare(retrying)
    with refused("schedules", "'sillo'"):
        compare_schedules(three_cycles, schedules=["sillo", "silo"])
    with refused("schedules", "warmup,linear", "silo and"):
        compare_schedules(three_cycles, schedules=["warmup", "linear"])
    another_shape = formula_experiment(schedule__shape="cosine_decay")
    with refused("schedule.shape", "'cosine_decay'", "with a warm-up or drops"):
        compare_schedules(another_shape, max_lrs=[0.1])
    with_drops = another_shape.with_fields({"schedule.drop_epochs": (1,)})
    assert compare_schedules(with_drops, max_lrs=[0.1]).reference == "silo"
    with refused("max_lrs", "(0.0, 0.1)"):
        compare_schedules(three_cycles, max_lrs=[0.1, 0.0])
    with refused("tuning_seeds", 3, "up to the 2 seeds"):
        compare_schedules(three_cycles, tuning_seeds=3)
    with refused("tuning_seeds", -1):
        compare_schedules(three_cycles, tuning_seeds=-1)
    with refused("schedule.lower", 0):
        compare_schedules(three_cycles.with_fields({"schedule.lower": 0.0}))
    with refused("along", "'training.batch_size'"):
        compare_values(three_cycles, "training.batch_size", ["3"])
    with refused("schedule.delay", "'soon'", "of type int"):
        compare_values(three_cycles, "schedule.delay", ["soon"])
    with refused("values", "[1]"):
        compare_values(three_cycles, "schedule.delay", ["1"])
    with refused("pruning.criterion", "'size'"):
        check_comparison(three_cycles, compare_values(three_cycles, "pruning.criterion", ["size"]))
