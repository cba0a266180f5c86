"""The command lines of studies: results, exit statuses, and bad input in one line."""

import importlib
import json
import signal
import sys
import time
from pathlib import Path

import pytest

from silo_jax.files import write_atomically
from tests.run_files import rows_of
from tests.run_process import start

ROOT = Path(__file__).parents[1]
CONFIG = f"--config={ROOT / 'tests/mlp_config.py'}"
TWO = ("--schedules=silo,warmup", "--max_lrs=0.1")
ANOTHER = '{"device": "another"}'


pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def end(module: str, *arguments: str, capsys) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of an entry point called in this process."""
    sys.modules.pop("config_config", None)  # under which every config file is loaded
    try:
        importlib.import_module(f"silo_jax.cli.{module}").main([module, *arguments])
        status = 0
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        (
            "compare",
            ("--schedule=silo",),
            ("argument: '--schedule'", "did you mean '--schedules'?"),
        ),
        ("compare", ("--schedules=sillo,warmup",), ("schedules: 'sillo'", "'silo'")),
        ("compare", ("--schedules=warmup,linear",), ("schedules: warmup,linear", "silo and")),
        ("compare", ("--max_lrs=0.1,x",), ("--max_lrs: '0.1,x'", "numbers")),
        ("compare", ("--max_lrs=-1",), ("max_lrs: (-1.0,)", "above 0")),
        ("compare", ("--along=rewind.polcy", "--values=lr"), ("along", "'rewind.policy'")),
        (
            "compare",
            ("--along=rewind.policy", "--values=lf"),
            ("rewind.policy: 'lf'", "finetune, lr"),
        ),
        ("compare", ("--along=rewind.policy",), ("values",)),
        ("compare", ("--values=lr",), ("--values: given", "--along=FIELD")),
        ("compare", ("--along=rewind.policy", "--max_lrs=1"), ("--max_lrs: given",)),
        ("compare", ("--launcher=slurm",), ("--launcher: 'slurm'", "local, ray")),
        ("compare", ("--cells=0/2",), ("--cells: '0/2'", "I from 1 to N")),
        ("compare", ("--cells=3/2",), ("--cells: '3/2'",)),
        ("compare", ("--cells=half",), ("--cells: 'half'",)),
        ("compare", ("--cells=1/2", "--launcher=ray"), ("--cells: 1/2", "1/1")),
        ("compare", ("--strategy=pmap",), ("--strategy: 'pmap'", "map, shard, vmap")),
        ("compare", ("--wait=-1",), ("wait",)),
        ("compare", ("--config.schedule.lower=0",), ("schedule.lower: 0", "above 0")),
        ("oracle", ("--max_lrs=0.1",), ("max_lrs: (0.1,)", "two numbers or more")),
        ("oracle", ("--max_lrs=0,0.1",), ("max_lrs: (0.0, 0.1)", "above 0")),
        ("oracle", ("--num_values=1",), ("num_values",)),
        ("oracle", ("--scale=cubic",), ("--scale: 'cubic'", "linear, log")),
        ("oracle", ("--refinements=-1",), ("refinements",)),
        ("oracle", ("--tolerance=-1",), ("tolerance",)),
        ("oracle", ("--fit",), ("--fit: with 3 cycles", "5 or more")),
        (
            "oracle",
            ("--config.rewind.policy=finetune", "--config.rewind.epoch=0"),
            ("rewind.policy",),
        ),
        ("oracle", ("--config.schedule.lower=0",), ("schedule.lower: 0", "above 0")),
        ("oracle", ("--tolerance=inf",), ("--tolerance: inf", "finite")),
        ("oracle", ("--config.training.divergence_retries=2",), ("divergence_retries: 2",)),
        ("tune", ("--oracle=nowhere",), ("--oracle: nowhere", "an Oracle search")),
        ("tune", ("--config.pruning.num_cycles=1",), ("pruning.num_cycles: 1", "2 or more")),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(module, arguments, said, tmp_path, capsys):
    workdir = tmp_path / "study"
    code, out, err = end(module, CONFIG, f"--workdir={workdir}", *arguments, capsys=capsys)
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "allowed" in err or "should be" in err or "must be" in err, err
    for part in said:
        assert part in err
    left = {path.name for path in workdir.rglob("*") if path.is_file()}
    assert left <= {"config.json", "study.json", "environment.json"}


@pytest.mark.parametrize("module", ["compare", "oracle", "tune", "premise", "run"])
def test_help_tells_every_flag(module, capsys):
    code, out, _ = end(module, "--help", capsys=capsys)
    assert code == 0
    assert out.startswith(f"usage: {module} --config=FILE")
    assert len(out.splitlines()) > 2


def test_a_comparison_shared_out_goes_on_and_may_grow(tmp_path, capsys):
    arguments = (CONFIG, f"--workdir={tmp_path}", *TWO, "--quiet")
    code, out, err = end("compare", *arguments, "--cells=2/2", capsys=capsys)
    assert (code, out) == (3, "")
    assert err == "2 cells of other shares are left; once they are run, the same command goes on\n"
    code, out, err = end("compare", *arguments, capsys=capsys)
    assert (code, err) == (0, "")
    assert f"report: {tmp_path / 'report.html'}" in out
    assert len(rows_of(tmp_path / "cells.csv")) == 2 * 2 * 3
    before = {path: path.read_text() for path in (tmp_path / "cells").rglob("metrics.jsonl")}
    grown = (
        *arguments[:2],
        "--schedules=silo,warmup,linear",
        *arguments[3:],
        "--config.seeds=0,1,2",
    )
    (tmp_path / "environment.json").write_text(ANOTHER)
    code, *_ = end("compare", *grown, capsys=capsys)
    assert code == 0
    assert (tmp_path / "environment.json").read_text() != ANOTHER
    assert len(rows_of(tmp_path / "cells.csv")) == 3 * 3 * 3
    assert {path: path.read_text() for path in before} == before


def test_an_oracle_ends_with_a_table_and_its_page(tmp_path, capsys):
    arguments = (CONFIG, f"--workdir={tmp_path}", "--max_lrs=0.05,0.2", "--refinements=0")
    code, out, err = end("oracle", *arguments, capsys=capsys)
    assert code == 0, err
    assert f"report: {tmp_path / 'report.html'}" in out
    assert "silo/seed_1  cycle 2/2" in err
    assert [row["num_values"] for row in rows_of(tmp_path / "choices.csv")] == ["2"] * 3
    (tmp_path / "environment.json").write_text(ANOTHER)
    again = end("oracle", *arguments, "--tolerance=2", capsys=capsys)
    assert (again[0], again[2]) == (0, "")
    assert (tmp_path / "environment.json").read_text() == ANOTHER, "nothing was trained"
    assert json.loads((tmp_path / "study.json").read_text())["tolerance"] == 2
    code, _, err = end("oracle", *arguments[:2], "--max_lrs=0.05,0.3", capsys=capsys)
    assert code == 2
    assert "max_lrs was [0.05, 0.2], is (0.05, 0.3)" in err
    other = (CONFIG, "--config.pruning.fraction=0.3", f"--workdir={tmp_path / 'other'}")
    code, _, err = end("tune", *other, f"--oracle={tmp_path}", "--quiet", capsys=capsys)
    assert (code, "pruning.fraction was 0.2, is 0.3" in err) == (2, True)
    told = tmp_path / "tuned"
    tune = (CONFIG, f"--workdir={told}", "--max_lrs=0.05,0.2", f"--oracle={tmp_path}", "--quiet")
    code, out, err = end("tune", *tune, capsys=capsys)
    assert (code, err) == (0, "")
    assert "config.schedule.lower = " in out
    assert "config.schedule.upper = " in out
    assert len(json.loads((told / "oracle.json").read_text())["curve"]) == 3


def test_an_oracle_for_which_all_diverges_ends_with_status_1(tmp_path, capsys):
    arguments = (CONFIG, f"--workdir={tmp_path}", "--max_lrs=1e28,1e30", "--quiet")
    code, _, err = end("oracle", *arguments, capsys=capsys)
    assert code == 1
    assert err == "every max_lr diverged in cycle 0\n"


def test_a_comparison_in_which_all_diverges_ends_with_status_1(tmp_path, capsys):
    arguments = (CONFIG, f"--workdir={tmp_path}", TWO[0], "--max_lrs=1e30", "--quiet")
    code, out, _ = end("compare", *arguments, capsys=capsys)
    assert (code, out) == ("every network diverged in its first cycle", "")


def test_directories_of_other_studies_and_of_runs_are_refused(tmp_path, capsys):
    study, run = tmp_path / "study", tmp_path / "run"
    assert end("compare", CONFIG, f"--workdir={study}", *TWO, "--cells=2/9", capsys=capsys)[0] == 3
    for module in ("oracle", "tune"):
        code, _, err = end(module, CONFIG, f"--workdir={study}", capsys=capsys)
        assert code == 2
        assert "holds another study (kind was 'comparison'" in err
    code, _, err = end("run", CONFIG, f"--workdir={study}", capsys=capsys)
    assert (code, "holds a study" in err) == (2, True)
    code, _, err = end(
        "compare", CONFIG, f"--workdir={study}", *TWO, "--config.schedule.upper=0.7", capsys=capsys
    )
    assert (code, "schedule.upper was 0.2, is 0.7" in err) == (2, True)
    run.mkdir()
    write_atomically(run / "metrics.jsonl", "{}\n")
    code, _, err = end("compare", CONFIG, f"--workdir={run}", *TWO, capsys=capsys)
    assert (code, "holds a run" in err) == (2, True)
    write_atomically(study / "study.json", "{")
    code, _, err = end("compare", CONFIG, f"--workdir={study}", *TWO, capsys=capsys)
    assert (code, "study.json cannot be read" in err) == (2, True)


def test_a_process_that_is_stopped_says_so_and_goes_on(tmp_path):
    process = start("experiments.compare", tmp_path, "--max_lrs=0.05,0.1,0.2,0.4")
    metrics = tmp_path / "cells"
    while not any(metrics.rglob("metrics.jsonl")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert err.splitlines()[-1] == "stopped by SIGTERM; the same command goes on from here"
    assert "Traceback" not in err
