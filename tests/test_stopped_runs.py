"""Runs that are stopped, politely or not, end as if they had never been."""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from silo_jax.training import in_memory, loop
from silo_jax.training import run as preparing
from silo_jax.training.interrupts import Stopped, StopRequest
from silo_jax.training.run import prepared
from tests.killed_run import PHASES
from tests.run_files import StopAfter, final_states, without_times
from tests.run_process import assert_same_run, finish, start
from tests.tiny import assert_identical, run_quietly, tiny_config


def killed(workdir: Path, phase: str, count: int) -> bool:
    process = start("tests.killed_run", workdir, phase, str(count))
    _, errors = process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0), errors
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "kills",
    [
        [("training", 1), ("rewind point", 1), ("checkpoint", 2)],
        [("metrics line", 2), ("evaluation", 4), ("report", 1)],
    ],
    ids=["early", "late"],
)
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, straight, kills):
    for phase, count in kills:
        assert killed(tmp_path, phase, count), phase
    finish(tmp_path)
    assert_same_run(tmp_path, straight)


@pytest.mark.stress
def test_kills_in_every_phase(tmp_path, straight):
    """Each phase at calls drawn at random, and at any moment, until all were met, 20 times or more.

    A run meets fewer phases the closer it comes to its end, so it takes several runs.
    """
    draw, kills = random.Random(0), Counter()
    for turn in range(8):
        workdir = tmp_path / str(turn)
        for phase in draw.sample(sorted(PHASES), len(PHASES)):
            kills[phase] += killed(workdir, phase, draw.randint(1, 3))
        process = start("experiments.run", workdir)
        time.sleep(draw.uniform(2, 12))
        kills["any moment"] += process.poll() is None
        process.kill()
        process.communicate()
        finish(workdir)
        assert_same_run(workdir, straight)
        if kills.total() >= 20 and all(kills[phase] for phase in PHASES):
            break
    print(f"{turn + 1} runs, {kills.total()} kills, all ended alike: {dict(kills)}")
    assert kills.total() >= 20
    assert all(kills[phase] for phase in PHASES)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_its_status(tmp_path, straight, signum):
    process = start("experiments.run", tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signum)
    _, errors = process.communicate()
    assert process.returncode == 128 + signum, errors
    last_line = errors.strip().splitlines()[-1]
    assert last_line == f"stopped by {signum.name}; the same command goes on from here"
    assert "Traceback" not in errors
    finish(tmp_path)
    assert_same_run(tmp_path, straight)


def test_stopped_after_any_step_a_run_goes_on_bit_for_bit(tmp_path, monkeypatch):
    """It looks after every step, and is stopped several times within an epoch."""
    config = tiny_config(training__epochs_per_cycle=0, training__steps_per_cycle=30, rewind__step=7)
    straight = run_quietly(config, tmp_path / "straight")
    monkeypatch.setattr(in_memory, "_SECONDS_BETWEEN_LOOKS", 0.0)
    stopped, reached = tmp_path / "stopped", []
    for num_looks in (3, 9, 5, 12, 1, 8):
        with prepared(config, stopped) as experiment, pytest.raises(Stopped):
            loop.run_seeds(experiment, stopped, Console(quiet=True), StopAfter(num_looks))
        reached.append(max(int(path.name) for path in checkpoint_steps(stopped)))
    assert len({step % experiment.steps_per_epoch for step in reached}) > 2
    run_quietly(config, stopped)
    assert without_times(stopped) == without_times(straight)
    assert_identical(final_states(stopped, config), final_states(straight, config))


def checkpoint_steps(workdir: Path) -> list[Path]:
    return [
        path for path in (workdir / "checkpoints/seed_0/states").iterdir() if path.name.isdigit()
    ]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_compiling_is_answered_at_once(signum, monkeypatch, tmp_path):
    """The programs take a minute, and are not waited for."""

    def compile_for_a_minute(experiment, stop):
        os.kill(os.getpid(), signum)
        time.sleep(60)

    monkeypatch.setattr(loop, "Programs", compile_for_a_minute)
    started, config = time.monotonic(), tiny_config()
    with (
        prepared(config, tmp_path) as experiment,
        StopRequest().listening() as stop,
        pytest.raises(Stopped, match=signum.name),
    ):
        loop.run_seeds(experiment, tmp_path, Console(quiet=True), stop)
    assert time.monotonic() - started < 50
    monkeypatch.undo()
    run_quietly(config, tmp_path)


def test_what_a_long_call_returns_or_raises_is_passed_on():
    assert StopRequest().interruptibly(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        StopRequest().interruptibly(lambda: 1 // 0)


def test_a_run_that_starts_while_another_prepares_is_seen(tmp_path, monkeypatch):
    load_experiment, workdir = preparing.load_experiment, tmp_path / "run"

    def overtaken(config, **options):
        monkeypatch.undo()
        run_quietly(tiny_config(), workdir)
        return load_experiment(config, **options)

    monkeypatch.setattr(preparing, "load_experiment", overtaken)
    with pytest.raises(ValueError, match=r"schedule.upper was 0.2, is 0.9"):
        run_quietly(tiny_config(schedule__upper=0.9), workdir)
    run_quietly(tiny_config(), workdir)


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    config = tiny_config()
    with prepared(config, tmp_path):
        process = start("experiments.run", tmp_path)
        _, errors = process.communicate()
    assert process.returncode == 2
    assert errors == (
        f"error: workdir: {tmp_path} is in use by process {os.getpid()}; "
        "allowed: one process at a time\n"
    )
    run_quietly(config, tmp_path)
