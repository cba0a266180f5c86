"""The command line, as a subprocess: a good run, and bad input that leaves nothing behind."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tfds_sets import write_set

ROOT = Path(__file__).parents[1]
SMALL = ("--config.pruning.num_cycles=2", "--config.seeds=0,1")


def experiment(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "experiments.run", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_run_ends_with_a_table_and_a_report_and_is_not_repeated(tmp_path):
    workdir = tmp_path / "run"
    command = ("--config=configs/quickstart.py", f"--workdir={workdir}", *SMALL)
    done = experiment(*command)
    assert done.returncode == 0, done.stderr
    assert f"report: {workdir / 'report.html'}" in done.stdout
    with (workdir / "cycles.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["seed"], r["cycle"]) for r in rows] == [
        ("0", "0"),
        ("0", "1"),
        ("1", "0"),
        ("1", "1"),
    ]
    assert min(float(row["test_accuracy"]) for row in rows if row["cycle"] == "0") >= 95
    for row in rows[::2]:
        assert f"{int(row['weights_left']):,}" in done.stdout
    assert {p.name for p in workdir.iterdir()} >= {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "cycles.csv",
        "layers.csv",
        "schedule.csv",
        "checkpoints",
        "figures",
        "report.html",
    }
    assert done.stderr.count("cycle 0/1") == 2
    again = experiment(*command)
    assert again.returncode == 0, again.stderr
    assert "cycle 0/1" not in again.stderr
    assert again.stdout == done.stdout


QUICK = "--config=configs/quickstart.py"


def test_a_run_in_which_every_seed_diverges_says_so(tmp_path):
    huge = "--config.schedule.lower=1e30"
    done = experiment(QUICK, *SMALL, huge, "--config.schedule.upper=1e30", f"--workdir={tmp_path}")
    assert (done.returncode, done.stdout) == (1, "")
    *_, first, second = done.stderr.splitlines()
    assert first.startswith("seed 0 diverged at step ")
    assert second.startswith("seed 1 diverged at step ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_a_fork_from_the_command_line(tmp_path):
    old, new = f"{tmp_path / 'old'}", f"--workdir={tmp_path / 'new'}"
    assert experiment(QUICK, *SMALL, f"--workdir={old}").returncode == 0
    three = (QUICK, SMALL[1], "--config.pruning.num_cycles=3", "--config.schedule.upper=0.2")
    refused = experiment(*three, f"--workdir={old}")
    assert refused.returncode == 2
    assert f"with --fork={old}" in refused.stderr
    done = experiment(*three, f"--fork={old}", new)
    assert done.returncode == 0, done.stderr
    assert "cycle 1/2" not in done.stderr
    assert done.stderr.count("cycle 2/2") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((QUICK, "--config.pruning.fractoin=0.3"), ("fractoin", "mean 'fraction'")),
        ((QUICK, "--config.prunning.fraction=0.3"), ("prunning", "mean 'pruning'")),
        ((QUICK, "--config.pruning.fraction=1.5"), ("pruning.fraction: 1.5", "between 0 and 1")),
        ((QUICK, "--config.pruning.fraction=abc"), ("--config.pruning.fraction=abc",)),
        ((QUICK, "--config.pruning.fraction"), ("pruning.fraction", "=VALUE")),
        ((QUICK, "--config.model.name=resnet20x"), ("model.name: 'resnet20x'", "'resnet20'")),
        ((QUICK, "--config.data.name=fashion_mnsit"), ("data.name", "'fashion_mnist'")),
        ((QUICK, "--config.schedule.shape=triangle"), ("schedule.shape", "'triangular'")),
        (("--config=configs/nope.py",), ("--config", "configs/nope.py")),
        (("--config=README.md",), ("--config=README.md: ", "line")),
        (("--config=configs/quickstart.py:variant",), ("quickstart.py:variant: ", "get_config()")),
        ((), ("--config: missing",)),
        ((QUICK, "surplus"), ("'surplus'",)),
        ((QUICK, "--config.seeds=0", "--config.seeds=1"), ("--config.seeds", "twice")),
        (("--config=silo_jax/base_config.py",), ("silo_jax/base_config.py", "get_config()")),
        ((QUICK, "--wrkdir=x"), ("wrkdir",)),
        ((QUICK, "--fork="), ("--fork: missing", "--fork=PATH")),
        ((QUICK, "--fork=nowhere"), ("--fork: nowhere", "the directory of a run")),
    ],
)
def test_bad_input_is_one_line_with_status_2_and_leaves_nothing(tmp_path, arguments, said):
    workdir = tmp_path / "run"
    refused = experiment(*arguments, f"--workdir={workdir}")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    for words in said:
        assert words in refused.stderr
    assert not workdir.exists()


def test_a_missing_workdir_and_one_that_is_a_file_are_refused(tmp_path):
    assert "--workdir: missing" in experiment(QUICK).stderr
    file = tmp_path / "file"
    file.write_text("kept")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    half = tmp_path / "half"
    half.mkdir()
    (half / "checkpoints").write_text("a file")
    for workdir in (file, file / "below", half, tmp_path / ("x" * 300)):
        refused = experiment(QUICK, f"--workdir={workdir}")
        assert refused.returncode == 2
        assert refused.stderr == (
            f"error: workdir: {workdir}; allowed: a directory that can be read and written\n"
        )
    for workdir in (dangling, Path("/proc/run")):
        refused = experiment(QUICK, f"--workdir={workdir}")
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"error: workdir: {workdir} cannot be written: ")
    assert file.read_text() == "kept"
    assert [path.name for path in half.iterdir()] == ["checkpoints"]


def test_a_set_that_is_not_prepared_is_refused_with_what_to_do(tmp_path):
    refused = experiment(
        "--config=configs/fashion_mnist_lenet.py",
        f"--config.data_dir={tmp_path}",
        f"--workdir={tmp_path / 'run'}",
        SILO_JAX_CACHE=str(tmp_path / "cache"),
    )
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert str(tmp_path) in refused.stderr
    assert "pip install" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_set_whose_records_are_gone_is_refused(tmp_path):
    directory, _ = write_set(tmp_path / "tfds")
    for records in directory.glob("*array_record*"):
        records.unlink()
    refused = experiment(
        QUICK,
        "--config.data.name=tiny",
        f"--config.data_dir={tmp_path / 'tfds'}",
        f"--workdir={tmp_path / 'run'}",
        SILO_JAX_CACHE=str(tmp_path / "cache"),
    )
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("error: data.data_dir: cannot read ")
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR is not set")
@pytest.mark.parametrize(
    "model", ["lenet_300_100", pytest.param("lenet5", marks=pytest.mark.stress)]
)
def test_a_run_on_fashion_mnist(tmp_path, tmp_path_factory, model):
    cache = tmp_path_factory.getbasetemp() / "fashion_mnist_cache"
    done = experiment(
        f"--config=configs/fashion_mnist_lenet.py:{model}",
        f"--workdir={tmp_path}",
        "--config.pruning.num_cycles=2",
        "--config.training.epochs_per_cycle=0",
        "--config.training.steps_per_cycle=300",
        "--config.schedule.warmup_epochs=0",
        "--config.schedule.drop_epochs=()",
        "--config.schedule.warmup_steps=50",
        SILO_JAX_CACHE=str(cache),
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "cycles.csv").open(newline="") as file:
        accuracies = [float(row["test_accuracy"]) for row in csv.DictReader(file)]
    assert len(accuracies) == 2
    assert min(accuracies) > 78
