"""Cells: the same results as runs, in whatever company, stopped or not; none harms another."""

import csv
import signal

import numpy as np
import pytest
from rich.console import Console

from silo_jax.training import cell_runner, launch
from silo_jax.training.cells import Cell, Work, cell_files, is_finished, read_cell
from silo_jax.training.experiment import load_experiment
from silo_jax.training.interrupts import Stopped, StopRequest
from silo_jax.training.launch import Local, Share, UnfinishedError, unfinished
from silo_jax.training.progress import CellsProgress
from tests.compilations import compiled_once
from tests.run_files import StopAfter
from tests.tiny import run_quietly, tiny_config

SCORES = ("density", "max_lr", "train_loss", "val_loss", "val_accuracy", "test_accuracy")


@pytest.fixture(autouse=True, scope="module")
def quicker(tmp_path_factory):
    """Launchers have programs of their own, which are often the same."""
    with compiled_once(tmp_path_factory.mktemp("programs")):
        yield


def local(experiment, directory, **options):
    options = {"strategy": "map", "at_once": 4, "stop": StopRequest()} | options
    return Local(experiment, directory, progress=CellsProgress(Console(quiet=True)), **options)


def work_of(experiment, seeds=(0, 1), peaks=None, **options) -> Work:
    peaks = tuple(peaks or experiment.peaks)
    cells = tuple(Cell(f"seed_{seed}", seed, peaks, 0, len(peaks)) for seed in seeds)
    return Work("work", cells, {}, **options)


def scores(experiment, directory, work) -> dict:
    found = {}
    for cell in work.cells:
        for cycle, row in read_cell(directory, work, cell, experiment).cycles.items():
            found[cell.name, cycle] = tuple(row[name] for name in SCORES)
    return found


def scores_of_run(workdir) -> dict:
    with (workdir / "cycles.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (f"seed_{row['seed']}", int(row["cycle"])): tuple(float(row[name]) for name in SCORES)
        for row in rows
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"rewind__policy": "weights", "rewind__epoch": 1},
        {"rewind__policy": "lr", "evaluation__select": "best_validation"},
        {"rewind__policy": "finetune", "schedule__shape": "linear_decay"},
        {"rewind__policy": "reinit", "rewind__optimizer": False},
        {"schedule__name": "gradient_matched", "pruning__criterion": "movement"},
    ],
)
def test_cells_are_runs(tmp_path, fields):
    config = tiny_config(pruning__num_cycles=3, seeds=(0, 1), **fields)
    expected = scores_of_run(run_quietly(config, tmp_path / "run"))
    experiment = load_experiment(config)
    work = work_of(experiment)
    for at_once in (1, 2):
        directory = tmp_path / str(at_once)
        local(experiment, directory, at_once=at_once).run([work])
        assert scores(experiment, directory, work) == expected
        assert not list(directory.rglob("checkpoints"))


@pytest.fixture(scope="module")
def three_cycles():
    return load_experiment(tiny_config(pruning__num_cycles=3, rewind__epoch=1))


@pytest.fixture(scope="module")
def straight(three_cycles, tmp_path_factory):
    directory = tmp_path_factory.mktemp("straight")
    work = work_of(three_cycles, seeds=(0, 1, 2))
    local(three_cycles, directory).run([work])
    return scores(three_cycles, directory, work)


def test_what_cells_have_reached_is_noted_meanwhile_but_not_too_often(
    three_cycles, tmp_path, monkeypatch
):
    work, seen = work_of(three_cycles, seeds=(0,)), []

    def note():
        seen.append(len(scores(three_cycles, tmp_path, work)))

    monkeypatch.setattr(launch, "_SECONDS_BETWEEN_NOTES", 1e6)
    local(three_cycles, tmp_path / "seldom").run([work], meanwhile=note)
    assert seen == []
    monkeypatch.setattr(launch, "_SECONDS_BETWEEN_NOTES", 0.0)
    local(three_cycles, tmp_path).run([work], meanwhile=note)
    assert seen
    assert seen == sorted(seen)
    assert seen[0] < 3


@pytest.mark.parametrize("looks", [0, 2, 3, 5, 8, 12])
def test_cells_that_are_stopped_go_on(three_cycles, straight, tmp_path, monkeypatch, looks):
    monkeypatch.setattr(cell_runner, "_SECONDS_BETWEEN_SAVES", 0.0)
    work = work_of(three_cycles, seeds=(0, 1, 2))
    with pytest.raises(Stopped) as stopped:
        local(three_cycles, tmp_path, at_once=2, stop=StopAfter(looks)).run([work])
    assert stopped.value.signum == signal.SIGTERM
    assert not all(is_finished(tmp_path, work, cell, three_cycles) for cell in work.cells)
    local(three_cycles, tmp_path).run([work])
    assert scores(three_cycles, tmp_path, work) == straight


def test_wherever_a_cell_is_stopped_no_line_is_missing(tmp_path):
    """Also where it stands at the end of an epoch already, or at its own."""
    experiment = load_experiment(tiny_config(evaluation__select="best_validation"))
    stop = StopAfter(num_looks=10**9)
    launcher = local(experiment, tmp_path, at_once=1, stop=stop)
    found, reached = [], []
    for looks in range(1, 10):
        work = work_of(experiment, seeds=(0,), keep_end=True)._replace(name=f"stopped_{looks}")
        files, stop.looks_left = cell_files(tmp_path, work, work.cells[0]), looks
        try:
            launcher.run([work])
        except Stopped:
            reached.append(files.latest_step())
        stop.looks_left = 10**9
        launcher.run([work])
        found.append([{k: v for k, v in row.items() if k != "seconds"} for row in files.rows()])
    assert len(set(reached)) > 3
    assert len(found[0]) == experiment.num_cycles * experiment.epochs_per_cycle
    assert all(rows == found[0] for rows in found)


def test_a_line_that_a_kill_has_cut_off_is_computed_again(three_cycles, straight, tmp_path):
    work = work_of(three_cycles, seeds=(0,))
    local(three_cycles, tmp_path).run([work])
    metrics = cell_files(tmp_path, work, work.cells[0]).directory / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-7])
    local(three_cycles, tmp_path).run([work])
    found = scores(three_cycles, tmp_path, work)
    assert found == {key: row for key, row in straight.items() if key[0] == "seed_0"}


def test_shares_make_the_whole(three_cycles, straight, tmp_path):
    work = work_of(three_cycles, seeds=(0, 1, 2))
    with pytest.raises(UnfinishedError, match="1 cells of other shares"):
        local(three_cycles, tmp_path, share=Share(0, 2)).run([work])
    local(three_cycles, tmp_path, share=Share(1, 2)).run([work])
    assert scores(three_cycles, tmp_path, work) == straight


def test_a_cell_goes_on_from_the_end_of_another(three_cycles, straight, tmp_path):
    peaks = tuple(three_cycles.peaks)
    dense = Work("dense", (Cell("seed_0", 0, peaks, 0, 1),), {}, keep_end=True)
    launcher = local(three_cycles, tmp_path)
    launcher.run([dense])
    pruned = Work("pruned", (Cell("seed_0", 0, peaks, 1, 3, "dense/seed_0", "dense/seed_0"),), {})
    launcher.run([pruned])
    found = scores(three_cycles, tmp_path, dense) | scores(three_cycles, tmp_path, pruned)
    assert found == {key: row for key, row in straight.items() if key[0] == "seed_0"}


def test_a_finished_cell_goes_on_to_a_later_end_and_stays_finished(
    three_cycles, straight, tmp_path
):
    stop = StopAfter(num_looks=10**9)
    launcher, work = local(three_cycles, tmp_path, stop=stop), work_of(three_cycles, (0, 1, 2))
    short = tuple(cell._replace(end_cycle=1) for cell in work.cells)
    first = work._replace(cells=short, keep_end=True)
    launcher.run([first])
    stop.looks_left = 6
    with pytest.raises(Stopped):
        launcher.run([work])
    assert min(cell_files(tmp_path, work, cell).latest_step() for cell in work.cells) > 40
    stop.looks_left = 10**9
    assert not unfinished(launcher, [first])
    launcher.run([work])
    assert scores(three_cycles, tmp_path, work) == straight
    assert not unfinished(launcher, [first, work])


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_a_cell_that_diverges_harms_no_other(three_cycles, straight, tmp_path, strategy):
    work = work_of(three_cycles, seeds=(0, 1, 2))
    huge = work.cells[1]._replace(name="huge", peaks=(1e30, 0.1, 0.1))
    late = work.cells[2]._replace(name="late", peaks=(*three_cycles.peaks[:2], 1e30))
    work = work._replace(cells=(work.cells[0], huge, late, work.cells[2]))
    local(three_cycles, tmp_path, strategy=strategy).run([work])
    found = scores(three_cycles, tmp_path, work)
    for name in ("seed_0", "seed_2"):
        for cycle in range(3):
            np.testing.assert_allclose(found[name, cycle], straight[name, cycle], rtol=5e-3)
    if strategy == "map":
        assert {key: row for key, row in found.items() if key in straight} == {
            key: row for key, row in straight.items() if key[0] != "seed_1"
        }
    told = read_cell(tmp_path, work, huge, three_cycles).diverged
    assert (told["cycle"], told["max_lr"]) == (0, np.float32(1e30))
    told = read_cell(tmp_path, work, late, three_cycles)
    assert (set(told.cycles), told.diverged["cycle"]) == ({0, 1}, 2)
    assert all(is_finished(tmp_path, work, cell, three_cycles) for cell in work.cells)
