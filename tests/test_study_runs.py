"""Studies that train: the same as runs one by one, stopped or shared out or not."""

import numpy as np
import pytest
from rich.console import Console

from silo_jax.studies.candidates import compare_schedules
from silo_jax.studies.comparison import run_comparison
from silo_jax.studies.oracle import Grid, search
from silo_jax.studies.oracle_results import OracleStudy, run_oracle, run_silo
from silo_jax.studies.tuning import found_bounds, one_shot, s_curve_between
from silo_jax.training import cell_runner
from silo_jax.training.experiment import load_experiment
from silo_jax.training.interrupts import Stopped, StopRequest
from silo_jax.training.launch import Local, Share, UnfinishedError
from silo_jax.training.progress import CellsProgress
from tests.refusals import refused
from tests.run_files import StopAfter, rows_of
from tests.tiny import run_quietly, tiny_config

SCORES = ("density", "train_loss", "val_loss", "val_accuracy", "test_accuracy")
GRID = Grid((0.05, 0.2), refinements=1)


def local(experiment, directory, **options):
    options = {"stop": StopRequest()} | options
    return Local(experiment, directory, progress=CellsProgress(Console(quiet=True)), **options)


def by_cycle(rows, **where) -> dict:
    """The scores of the rows with given values, by seed and cycle."""
    chosen = [row for row in rows if all(float(row[k]) == v for k, v in where.items())]
    return {
        (int(row["seed"]), int(row["cycle"])): tuple(float(row[name]) for name in SCORES)
        for row in chosen
    }


def untimed(path) -> list:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows_of(path)]


@pytest.fixture(scope="module")
def config():
    return tiny_config(pruning__num_cycles=3, seeds=(0, 1), rewind__epoch=1)


@pytest.fixture(scope="module")
def searched(config, tmp_path_factory):
    directory = tmp_path_factory.mktemp("oracle")
    launcher = local(load_experiment(config), directory)
    run_silo(launcher)
    return directory, run_oracle(launcher, OracleStudy(GRID))


def test_the_oracle_is_a_search_by_hand(config, searched, tmp_path):
    """Every cell of the grid is what a whole run gives with the choices so far, then this value."""
    directory, choices = searched
    grid = rows_of(directory / "grid.csv")
    path: tuple[float, ...] = ()
    for cycle, choice in enumerate(choices):
        tried = [one.max_lr for one in choice.tried]
        means = {}
        for value in {tried[0], choice.best.max_lr}:
            by_hand = config.copy_and_resolve_references()
            by_hand.schedule.name = "list"
            by_hand.schedule.peaks = (*path, *[value] * (3 - cycle))
            run = run_quietly(by_hand, tmp_path / f"{cycle}_{value}")
            expected = {
                k: v for k, v in by_cycle(rows_of(run / "cycles.csv")).items() if k[1] == cycle
            }
            assert by_cycle(grid, max_lr=value, cycle=cycle) == expected
            means[value] = np.mean([scores[3] for scores in expected.values()])
        assert choice.best.mean("val_accuracy") >= max(means.values()) - 1e-9
        path += (choice.best.max_lr,)


def test_silo_beside_the_oracle_is_the_run(config, searched, tmp_path):
    directory, _ = searched
    run = run_quietly(config, tmp_path)
    assert by_cycle(rows_of(directory / "silo.csv")) == by_cycle(rows_of(run / "cycles.csv"))


@pytest.mark.parametrize("looks", [2, 9])
def test_a_search_that_is_stopped_goes_on(config, searched, tmp_path, monkeypatch, looks):
    monkeypatch.setattr(cell_runner, "_SECONDS_BETWEEN_SAVES", 0.0)
    directory, _ = searched
    experiment = load_experiment(config)
    with pytest.raises(Stopped):
        list(search(local(experiment, tmp_path, stop=StopAfter(looks)), GRID))
    run_oracle(local(experiment, tmp_path), OracleStudy(GRID))
    for name in ("grid.csv", "choices.csv"):
        assert untimed(tmp_path / name) == untimed(directory / name)


def test_shares_of_a_search_find_the_same(config, searched, tmp_path):
    directory, _ = searched
    experiment = load_experiment(config)
    launchers = [local(experiment, tmp_path, share=Share(number, 2)) for number in range(2)]
    unfinished = 0
    for turn in range(2 * 3 * 2 + 1):  # stages and cycles, one after another
        try:
            run_oracle(launchers[turn % 2], OracleStudy(GRID))
        except UnfinishedError:
            unfinished += 1
    assert unfinished >= 6
    for name in ("grid.csv", "choices.csv"):
        assert untimed(tmp_path / name) == untimed(directory / name)


def test_cells_of_a_comparison_are_runs(tmp_path):
    config = tiny_config(seeds=(0, 1), schedule__drop_epochs=(1.5,))
    experiment = load_experiment(config)
    names = ["silo", "cosine", "gradient_matched"]
    comparison = compare_schedules(experiment, schedules=names, max_lrs=[0.1])
    run_comparison(local(experiment, tmp_path), comparison)
    cells = rows_of(tmp_path / "cells.csv")
    for name in names:
        config.schedule.name = {"cosine": "constant"}.get(name, name)
        config.schedule.shape = "cosine_decay" if name == "cosine" else "warmup_step_decay"
        config.schedule.upper = 0.1 if name == "cosine" else 0.2
        run = run_quietly(config, tmp_path / f"run_{name}")
        rows = [row for row in cells if row["option"] == name]
        assert by_cycle(rows) == by_cycle(rows_of(run / "cycles.csv"))
        peaks = {row["cycle"]: float(row["max_lr"]) for row in rows_of(run / "cycles.csv")}
        if name != "gradient_matched":  # by seed
            assert {row["cycle"]: float(row["cycle_max_lr"]) for row in rows} == peaks


def test_cells_of_a_whole_comparison_are_kept_when_it_is_run_for_the_tuned_alone(tmp_path):
    experiment = load_experiment(tiny_config(seeds=(0,)))
    whole, tuned = (
        compare_schedules(
            experiment, schedules=["silo", "warmup"], max_lrs=[0.05, 0.1], hindsight=hindsight
        )
        for hindsight in (True, False)
    )
    launcher = local(experiment, tmp_path / "whole")
    run_comparison(launcher, whole)
    cells = {p: p.read_text() for p in (tmp_path / "whole" / "cells").rglob("metrics.jsonl")}
    assert len(cells) == 4
    for comparison in (tuned, whole, tuned):
        run_comparison(launcher, comparison)
        assert {path: path.read_text() for path in cells} == cells
    other = local(experiment, tmp_path / "tuned")
    run_comparison(other, tuned)
    cells = {p: p.read_text() for p in (tmp_path / "tuned" / "cells").rglob("metrics.jsonl")}
    assert sorted(text.count("\n") for text in cells.values()) == [1, 1, 2, 2]
    run_comparison(other, tuned)
    assert {path: path.read_text() for path in cells} == cells
    run_comparison(other, whole)
    rows = {name: untimed(tmp_path / name / "cells.csv") for name in ("tuned", "whole")}
    assert rows["tuned"] == rows["whole"]


def test_both_bounds_are_tuned_on_the_density_of_the_last_cycle(tmp_path):
    experiment = load_experiment(tiny_config(pruning__num_cycles=6, seeds=(0, 1)))
    both = one_shot(experiment)
    assert both.num_cycles == 2
    choices = run_oracle(local(both, tmp_path), OracleStudy(Grid((0.05, 0.1, 0.4)), kind="tune"))
    densities = [choice.best.mean("density") for choice in choices]
    size = 64 * 16 + 16 * 10
    assert densities == pytest.approx([1.0, 0.8**5], abs=1 / size)
    lower, upper = found_bounds(choices)
    assert (lower, upper) == tuple(choice.best.max_lr for choice in choices)
    curve = s_curve_between(experiment, lower, upper)
    assert (len(curve), curve[0]) == (6, pytest.approx(lower))


def test_one_shot_rewinds_as_the_last_cycle_does():
    config = tiny_config(pruning__num_cycles=3, rewind__policy="weights,lr", rewind__epoch=1)
    both = one_shot(load_experiment(config))
    assert (both.config.rewind.policy, both.config.rewind.epoch) == ("lr", 0.0)


def test_nothing_is_tuned_where_nothing_is_pruned():
    with refused("pruning.num_cycles", 1, "2 or more"):
        one_shot(load_experiment(tiny_config(pruning__num_cycles=1)))
