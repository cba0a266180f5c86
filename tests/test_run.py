"""Whole runs on the digits: they learn, resume bit for bit, and compile once."""

import json
import time

import numpy as np
import pytest

from silo_jax import apply_masks, silo_peaks
from silo_jax.checkpoint import Checkpoints
from silo_jax.rewinding import RewindPoint
from silo_jax.training import loop
from silo_jax.training.config import check_config
from silo_jax.training.experiment import load_experiment
from silo_jax.training.progress import RunProgress
from tests.compilations import compilations
from tests.run_files import final_states, rows_of, without_times
from tests.tiny import assert_identical, run_quietly, tiny_config


def test_a_run_of_two_cycles_learns_prunes_and_rewinds(tmp_path):
    config = tiny_config(
        model__hidden=(64,), training__epochs_per_cycle=15, training__batch_size=32, seeds=(3,)
    )
    run_quietly(config, tmp_path)
    dense, pruned = rows_of(tmp_path / "cycles.csv")
    assert float(dense["test_accuracy"]) > 93
    assert float(pruned["test_accuracy"]) > 93
    total = 64 * 64 + 64 * 10
    assert [int(r["weights_left"]) for r in (dense, pruned)] == [total, total - round(0.2 * total)]
    assert float(pruned["density"]) == pytest.approx(0.8, abs=1e-3)
    peaks = silo_peaks(2, lower=0.1, upper=0.2)
    np.testing.assert_allclose([float(r["max_lr"]) for r in (dense, pruned)], peaks, rtol=1e-6)
    layers = rows_of(tmp_path / "layers.csv")
    assert {r["layer"] for r in layers} == {"Dense_0/kernel", "Dense_1/kernel"}
    assert sum(int(r["kept"]) for r in layers if r["cycle"] == "1") == int(pruned["weights_left"])
    first, second = final_states(tmp_path, config)
    assert_identical(second.masks, first.next_masks)
    assert_identical(second.params, apply_masks(second.params, second.masks))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train_loss"] for line in lines]
    assert losses[15] > 3 * losses[14]  # weights are back at initialisation


@pytest.mark.parametrize(
    "fields",
    [
        {"rewind__policy": "weights", "rewind__epoch": 1},
        {"rewind__policy": "lr"},
        {
            "training__epochs_per_cycle": 0,
            "training__steps_per_cycle": 27,
            "rewind__step": 7,
            "schedule__warmup_steps": 3,
        },
        pytest.param(
            {
                "model__name": "resnet20",
                "data__crop_padding": 1,
                "data__flip": True,
                "training__epochs_per_cycle": 0,
                "training__steps_per_cycle": 3,
                "training__batch_size": 700,
                "rewind__step": 2,
            },
            marks=pytest.mark.stress,
        ),
    ],
    ids=["weights", "lr", "steps", "resnet20"],
)
def test_a_run_stopped_after_any_epoch_goes_on_bit_for_bit(tmp_path, monkeypatch, fields):
    config = tiny_config(seeds=(0, 1), **fields)
    straight = run_quietly(config, tmp_path / "straight")

    def stop_after(number):
        seen = []

        def epoch(self, row):
            seen.append(row)
            if len(seen) == number:
                raise KeyboardInterrupt

        return epoch

    for number in (1, 3, 2):
        with monkeypatch.context() as patch:
            patch.setattr(RunProgress, "epoch", stop_after(number))
            with pytest.raises(KeyboardInterrupt):
                run_quietly(config, tmp_path / "stopped")
    stopped = run_quietly(config, tmp_path / "stopped")

    assert without_times(stopped) == without_times(straight)
    assert_identical(final_states(stopped, config), final_states(straight, config))


def test_the_rewind_point_in_the_middle_of_an_epoch_is_the_state_at_that_step(tmp_path):
    """A cycle that ends at step 7 has trained exactly those steps that lead to the rewind point."""
    steps = {"training__epochs_per_cycle": 0, "schedule__shape": "constant"}
    run_quietly(tiny_config(training__steps_per_cycle=27, rewind__step=7, **steps), tmp_path / "a")
    short = tiny_config(training__steps_per_cycle=7, pruning__num_cycles=1, **steps)
    run_quietly(short, tmp_path / "b")
    want = final_states(tmp_path / "b", short)[0]
    checkpoints = Checkpoints(
        (tmp_path / "a" / "checkpoints" / "seed_0").absolute(), steps_per_cycle=27
    )
    point = checkpoints.restore_rewind_point(want)
    assert_identical(point, RewindPoint(want.params, want.batch_stats))
    checkpoints.close()


def test_a_finished_run_is_not_done_again(tmp_path):
    config = tiny_config()
    run_quietly(config, tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes(), (tmp_path / "cycles.csv").read_bytes()
    run_quietly(config, tmp_path)
    assert before == (
        (tmp_path / "metrics.jsonl").read_bytes(),
        (tmp_path / "cycles.csv").read_bytes(),
    )


def test_the_train_program_is_compiled_once_in_a_run_of_ten_cycles(tmp_path):
    config = tiny_config(pruning__num_cycles=10, training__epochs_per_cycle=1, seeds=(0, 1))
    with compilations() as compiled:
        run_quietly(config, tmp_path)
    assert compiled.count("train_epoch") == 1


def test_another_config_on_the_same_directory_is_refused_with_the_fields(tmp_path):
    run_quietly(tiny_config(pruning__num_cycles=1), tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"pruning.num_cycles was 1, is 2") as refusal:
        run_quietly(tiny_config(), tmp_path)
    assert "\n" not in str(refusal.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_where_the_data_lies_may_change(tmp_path):
    run_quietly(tiny_config(pruning__num_cycles=1), tmp_path)
    run_quietly(tiny_config(pruning__num_cycles=1, data_dir="/elsewhere"), tmp_path)


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_written(tmp_path):
    config = tiny_config(training__batch_size=5000)
    check_config(config)
    with pytest.raises(ValueError, match=r"training.batch_size: 5000; allowed: at most the 1293"):
        run_quietly(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_cycles_without_any_weight_are_refused(tmp_path):
    fields = {"pruning__fraction": 0.9, "model__hidden": (2,)}  # 2 · 64 + 2 · 10 weights
    left = [148]
    while left[-1]:
        left.append(left[-1] - round(0.9 * left[-1]))
    most = len(left) - 1
    load_experiment(tiny_config(pruning__num_cycles=most, **fields))
    with pytest.raises(ValueError, match=rf"^pruning.num_cycles: {most + 1}; .* at most {most},"):
        run_quietly(tiny_config(pruning__num_cycles=most + 1, **fields), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_compiling_is_not_in_the_time_of_an_epoch(tmp_path, monkeypatch):
    compile_programs = loop.Programs.__init__

    def slowly(self, *arguments):
        time.sleep(5)
        compile_programs(self, *arguments)

    monkeypatch.setattr(loop.Programs, "__init__", slowly)
    run_quietly(tiny_config(), tmp_path)
    first, second = (float(row["seconds"]) for row in rows_of(tmp_path / "cycles.csv"))
    assert first < second + 4


@pytest.mark.parametrize("content", [None, "", "[]", "{"])
def test_a_run_without_a_sound_config_is_not_taken_up(tmp_path, content):
    run_quietly(tiny_config(pruning__num_cycles=1), tmp_path)
    (tmp_path / "config.json").unlink()
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"^workdir: .* config.json cannot be read; allowed: "):
        run_quietly(tiny_config(pruning__num_cycles=1), tmp_path)


def test_a_directory_in_which_nothing_was_computed_takes_another_config(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Programs", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_quietly(tiny_config(), tmp_path)
    run_quietly(tiny_config(pruning__num_cycles=1), tmp_path)


def test_a_finished_run_keeps_the_environment_it_ran_in(tmp_path):
    run_quietly(tiny_config(pruning__num_cycles=1), tmp_path)
    (tmp_path / "environment.json").write_text('{"device": "another"}')
    run_quietly(tiny_config(pruning__num_cycles=1), tmp_path)
    assert (tmp_path / "environment.json").read_text() == '{"device": "another"}'
