"""Forks: a new run takes over finished cycles of another one and goes on under its own config."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from silo_jax.training import fork as forking
from silo_jax.training.results import Divergence, Results
from silo_jax.training.run import run
from silo_jax.training.workdir import lock
from tests.refusals import refused
from tests.run_files import final_states, rows_of, without_times
from tests.tiny import assert_identical, run_quietly, tiny_config

UPPER = {"schedule__name": "constant", "schedule__shape": "constant"}


def old_config(**fields):
    return tiny_config(**UPPER | {"schedule__upper": 0.1, "seeds": (0, 1), **fields})


def new_config(**fields):
    return old_config(**{"schedule__upper": 0.2, "pruning__num_cycles": 4, **fields})


def fork_quietly(config, source, workdir):
    return run(config, workdir, Console(quiet=True), source=source)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return run_quietly(old_config(), tmp_path_factory.mktemp("fork") / "old")


@pytest.fixture(scope="module")
def new(tmp_path_factory, old):
    return fork_quietly(new_config(), old, tmp_path_factory.mktemp("fork") / "new")


def test_it_has_the_finished_cycles_and_then_those_of_its_own_config(old, new):
    config = new_config()
    theirs, ours = without_times(old)["tables"], without_times(new)["tables"]
    for their_rows, our_rows in zip(theirs, ours, strict=True):
        taken = [row for row in our_rows if int(row["cycle"]) < 2]
        assert sorted(map(str, taken)) == sorted(map(str, their_rows))
    assert {row["max_lr"] for row in rows_of(new / "cycles.csv") if row["cycle"] in "23"} == {
        str(float(np.float32(0.2)))
    }
    # A run with these peaks from the start is the same, bit for bit.
    peaks = {"schedule__name": "list", "schedule__peaks": (0.1, 0.1, 0.2, 0.2)}
    whole = new_config(**peaks, schedule__upper=0.2)
    straight = run_quietly(whole, old.parent / "whole")
    assert sorted(map(str, without_times(straight)["tables"][1])) == sorted(map(str, ours[1]))
    by_seed = zip(final_states(new, config)[3::4], final_states(straight, whole)[3::4], strict=True)
    for one, other in by_seed:
        assert_identical(one, other)


def test_the_same_command_goes_on_and_the_old_run_is_as_it_was(old, new):
    before = without_times(new)
    assert json.loads((new / "fork.json").read_text()) == {
        "source": str(old),
        "cycles": 2,
        "complete": True,
    }
    fork_quietly(new_config(), old, new)
    run_quietly(new_config(), new)
    assert without_times(new) == before
    assert without_times(run_quietly(old_config(), old))["config"]["seeds"] == [0, 1]


def test_an_unfinished_cycle_is_not_taken_over(old, tmp_path):
    """Seed 1 of the source has one cycle only, so one is what each seed goes on from."""
    source = Path(shutil.copytree(old, tmp_path / "source"))
    states = source / "checkpoints/seed_1/states"
    first, *later = sorted(int(path.name) for path in states.glob("[0-9]*"))
    for step in later:
        shutil.rmtree(states / str(step))
    assert first == 40
    forked = fork_quietly(new_config(pruning__num_cycles=3), source, tmp_path / "forked")
    cycles = [(row["seed"], row["cycle"], row["max_lr"]) for row in rows_of(forked / "cycles.csv")]
    low, high = (str(float(np.float32(lr))) for lr in (0.1, 0.2))
    assert sorted(cycles) == [
        (seed, cycle, low if cycle == "0" else high) for seed in "01" for cycle in "012"
    ]


def test_stopped_in_the_middle_of_it_the_same_command_does_it_again(
    old, new, tmp_path, monkeypatch
):
    take_over, seeds = forking._take_over, []

    def one_seed_only(source, workdir, experiment, seed, cycles):
        if seeds:
            raise KeyboardInterrupt
        seeds.append(seed)
        take_over(source, workdir, experiment, seed, cycles)

    with monkeypatch.context() as patch:
        patch.setattr(forking, "_take_over", one_seed_only)
        with pytest.raises(KeyboardInterrupt):
            fork_quietly(new_config(), old, tmp_path)
    with refused("--fork", "missing", f"--fork={old}, as at first"):
        run_quietly(new_config(), tmp_path)
    with refused("--fork", tmp_path / "other", f"{old}, as at first"):
        fork_quietly(new_config(), tmp_path / "other", tmp_path)
    fork_quietly(new_config(), old, tmp_path)
    assert without_times(tmp_path) == without_times(new)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model__hidden": (8,)}, "--fork"),
        ({"training__batch_size": 32}, "--fork"),
        ({"data__split_seed": 1}, "--fork"),
        ({"pruning__fraction": 0.1}, "--fork"),
        ({"seeds": (0, 5)}, "seeds"),
        ({"pruning__num_cycles": 2}, "pruning.num_cycles"),
    ],
)
def test_what_it_cannot_go_on_from_is_refused_and_nothing_is_left(old, tmp_path, fields, field):
    with pytest.raises(ValueError, match=rf"^{field}: .*; allowed: ") as caught:
        fork_quietly(new_config(**fields), old, tmp_path / "new")
    assert "\n" not in str(caught.value)
    if field == "--fork":
        assert next(iter(fields)).replace("__", ".") + " was " in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_other_refusals(old, new, tmp_path):
    with refused("--fork", tmp_path, "the directory of a run"):
        fork_quietly(new_config(), tmp_path, tmp_path / "new")
    with refused("--fork", old, "a new workdir"):
        fork_quietly(old_config(), old, old)
    lr_only = run_quietly(old_config(rewind__policy="lr", seeds=(0,)), tmp_path / "lr")
    with refused("rewind.policy", "weights", "one without weights"):
        fork_quietly(new_config(seeds=(0,)), lr_only, tmp_path / "new")


def test_another_config_in_place_is_told_of_forks(old):
    with pytest.raises(ValueError, match=rf"with --fork={old} that goes on") as caught:
        run_quietly(old_config(schedule__upper=0.3), old)
    assert "schedule.upper was 0.1, is 0.3" in str(caught.value)


def test_a_seed_that_was_given_up_gets_another_chance(tmp_path):
    peaks = {"schedule__name": "list", "schedule__peaks": (0.1, 1e25)}
    source = run_quietly(old_config(**peaks, seeds=(0,)), tmp_path / "old")
    assert (source / "diverged.csv").exists()
    config = old_config(schedule__upper=0.2, seeds=(0,))
    forked = fork_quietly(config, source, tmp_path / "new")
    assert [row["cycle"] for row in rows_of(forked / "cycles.csv")] == ["0", "1"]
    assert not (forked / "diverged.csv").exists()


def test_finetuning_goes_on_from_the_lr_that_the_source_ended_with(tmp_path):
    source = run_quietly(
        old_config(seeds=(0,), schedule__shape="linear_decay", rewind__policy="lr"),
        tmp_path / "old",
    )
    config = new_config(seeds=(0,), pruning__num_cycles=3, rewind__policy="lr,finetune")
    fork_quietly(config, source, tmp_path / "new")
    last = json.loads((source / "metrics.jsonl").read_text().splitlines()[-1])["lr"]
    peaks = [float(row["max_lr"]) for row in rows_of(tmp_path / "new/cycles.csv")]
    assert peaks == pytest.approx([0.1, 0.1, last])
    assert last < 0.01


def test_schedule_csv_has_the_learning_rates_of_both(old, new):
    rows = [(int(row["step"]), float(row["lr"])) for row in rows_of(new / "schedule.csv")]
    assert [step for step, _ in rows] == list(range(160))
    assert [lr for _, lr in rows] == pytest.approx(80 * [0.1] + 80 * [0.2])


def test_divergences_are_taken_over_once(old, tmp_path, monkeypatch):
    source = Path(shutil.copytree(old, tmp_path / "source"))
    one = {"cycle": 0, "step": 5, "max_lr": 9.0, "lr": 9.0, "last_finite_loss": 1.0}
    for seed in (0, 1):
        told = Divergence(seed=seed, last_sound_step=0, next_max_lr=0.1, **one)
        Results(source).add_divergence(told)
    write_json, calls = forking.write_json, []

    def cut_off(path, content):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write_json(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(forking, "write_json", cut_off)
        with pytest.raises(KeyboardInterrupt):
            fork_quietly(new_config(pruning__num_cycles=3), source, tmp_path / "new")
    fork_quietly(new_config(pruning__num_cycles=3), source, tmp_path / "new")
    assert rows_of(tmp_path / "new/diverged.csv") == rows_of(source / "diverged.csv")


def test_a_damaged_source_and_one_in_use_are_refused_and_nothing_is_left(old, tmp_path):
    source = Path(shutil.copytree(old, tmp_path / "source"))
    with lock(source), refused("--fork", source, "a run that nobody goes on with"):
        fork_quietly(new_config(), source, tmp_path / "new")
    (source / "checkpoints/seed_1/states/40/state/checksums.json").unlink()
    with pytest.raises(ValueError, match=r"seed_1/states/40: checksums.json is missing"):
        fork_quietly(new_config(), source, tmp_path / "new")
    assert not (tmp_path / "new").exists()
