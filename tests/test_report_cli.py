"""The command that makes reports: of several runs, of what is going on, and what it refuses."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silo_jax.cli import report
from silo_jax.studies.candidates import compare_schedules
from silo_jax.studies.comparison import run_comparison
from silo_jax.studies.oracle import Grid
from silo_jax.studies.oracle_results import OracleStudy, run_oracle, run_silo
from silo_jax.training.interrupts import Stopped
from tests.formula import Formula, formula_experiment
from tests.reporting_comparison import cell_rows, write_comparison
from tests.reporting_premise import write_premise
from tests.reporting_run import (
    CYCLES,
    SEEDS,
    accuracy,
    columns,
    config,
    density,
    numbers,
    read_rows,
    without_scripts,
    write_metrics,
    write_run,
)


def call(*arguments: Any, capsys) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    try:
        report.main(["silo-jax report", *map(str, arguments)])
        status = 0
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_runs_of_different_lengths_stand_side_by_side(tmp_path, capsys):
    first, second, out = tmp_path / "a/run", tmp_path / "b/run", tmp_path / "out"
    first.parent.mkdir()
    second.parent.mkdir()
    write_run(first)
    changed = config() | {"seeds": [0, 1], "schedule": {"name": "silo", "lower": 0.2, "upper": 0.5}}
    write_run(second, {0: 3, 1: 2}, changed)
    code, said, err = call(first, second, f"--out={out}", capsys=capsys)
    assert (code, said, err) == (0, f"report: {out / 'report.html'}\n", "")
    html = without_scripts((out / "report.html").read_text())
    for m in range(CYCLES):
        told = []
        for seeds, cycles in ((SEEDS, dict.fromkeys(SEEDS, CYCLES)), ((0, 1), {0: 3, 1: 2})):
            scores = [accuracy(m, seed) for seed in seeds if m < cycles[seed]]
            spread = f" ± {np.std(scores, ddof=1):.2f}" if len(scores) > 1 else ""
            told.append((np.mean(scores), f"{np.mean(scores):.2f}{spread}") if scores else (0, "–"))
        best = max(told)
        cells = [
            f"<strong>{text}</strong>" if (mean, text) == best and m < 3 else text
            for mean, text in told
        ]
        row = "".join(f"<td>{cell}</td>" for cell in (f"{100 * density(m):.2f}", *cells))
        assert row in html
    assert "<th>a/run</th><th>b/run</th>" in html
    assert "<td>schedule.lower</td><td>0.1</td><td>0.2</td>" in html
    assert "<td>schedule.upper</td><td>0.5</td></tr>" in html  # the same in both
    assert "<td>jax</td><td>9.8.7</td><td>9.8.7</td>" in html
    assert "b/run: Unfinished run: seed 0 has 3 of 5 cycles, seed 1 has 2 of 5 cycles" in html
    told = columns(out / "figures/accuracy_by_density.csv", run="a/run", split="test")
    means = [np.mean([accuracy(m, seed) for seed in SEEDS]) for m in range(CYCLES)]
    np.testing.assert_allclose(numbers(told["accuracy"]), means)
    assert not (first / "report.html").exists()


def test_a_run_that_is_going_on_is_told_as_far_as_it_is(tmp_path, capsys):
    rows = write_run(tmp_path, {0: 3})
    heads = {name: (tmp_path / f"{name}.csv").read_text() for name in ("cycles", "layers")}
    begun = {"seed": 0, "cycle": 3, "epoch": 1, "step": 100}
    write_metrics(tmp_path, [*rows["metrics"], rows["metrics"][0] | begun])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"seed": 0, "cycle": 3, "ep')
    with (tmp_path / "cycles.csv").open("a") as file:
        file.write("3,0,0.5")
    assert call(tmp_path, capsys=capsys)[0] == 0
    html = (tmp_path / "report.html").read_text()
    assert "seed 0 has 3 of 5 cycles and 1 epoch of the next, seed 1 is not started" in html
    for name, text in heads.items():  # as it was before the first cycle was finished
        (tmp_path / f"{name}.csv").write_text(text.splitlines(keepends=True)[0])
    write_metrics(tmp_path, rows["metrics"][:2])
    assert call(tmp_path, capsys=capsys)[0] == 0
    html = (tmp_path / "report.html").read_text()
    assert "No cycle is finished yet; 2 epochs of training can be shown." in html
    assert columns(tmp_path / "figures/training_curves.csv", quantity="loss")["epoch"] == [
        *("1", "2", "1", "2")
    ]
    (tmp_path / "metrics.jsonl").write_text('{"seed"')
    code, out, err = call(tmp_path, capsys=capsys)
    assert (code, out) == (2, "")
    assert err == f"error: {tmp_path}: no results yet, as no epoch of the run is finished\n"


class StoppedStudy(Formula):
    """Stops after so many cycles, as if the process had been killed right after its last notes."""

    def __init__(self, *arguments: Any, cycles: int) -> None:
        super().__init__(*arguments)
        self._left = cycles

    def run(self, works, meanwhile=lambda: None) -> None:
        super().run(works, partial(self._count, meanwhile))

    def _count(self, meanwhile) -> None:
        meanwhile()
        self._left -= 1
        if not self._left:
            raise Stopped(15)


def rising(work, cell, cycle):
    return {"val_accuracy": 90 + cell.peaks[cycle] - cycle, "val_loss": 0.1}


def write_facts(folder: Path, experiment: Any, study: dict[str, Any]) -> None:
    """What the command line writes before a study begins."""
    for name, content in (
        ("config", experiment.config.to_dict()),
        ("study", study),
        ("environment", {"commit": "abc", "device": "cpu"}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("cycles", "told"),
    [
        (1, ("12 of 12 networks lack", "silo has 0 of 6, warmup is not started")),
        (8, ("10 of 12 networks lack", "silo has 2 of 6, warmup is not started")),
        (27, ("3 of 12 networks lack", "lack cycles; warmup has 3 of 6.")),
    ],
)
def test_a_comparison_that_is_going_on_is_told(tmp_path, cycles, told, capsys):
    experiment = formula_experiment()
    comparison = compare_schedules(
        experiment, schedules=["silo", "warmup"], max_lrs=[0.1, 0.2, 0.4]
    )
    write_facts(tmp_path, experiment, comparison.described())
    launcher = StoppedStudy(experiment, tmp_path, rising, cycles=cycles)
    with pytest.raises(Stopped):
        run_comparison(launcher, comparison)
    assert len(read_rows(tmp_path / "cells.csv")) == cycles
    code, _, err = call(tmp_path, capsys=capsys)
    assert (code, err) == (0, "")
    html = (tmp_path / "report.html").read_text()
    for words in (*told, "<td>commit</td><td>abc</td>"):
        assert words in html


def search_as_the_command_does(launcher, study) -> None:
    run_silo(launcher)
    run_oracle(launcher, study)


@pytest.mark.parametrize(
    ("cycles", "told"),
    [
        (4, ("SILO&#39;s own run has 3 of 3 cycles of seed 0, 1 of 3 cycles of seed 1.",)),
        (9, ("0 of 3 cycles; cycle 0 is still being searched, 3 networks with 2 max_lr so far",)),
        (16, ("The search has 2 of 3 cycles; cycle 2 is still being searched, 2 networks w",)),
    ],
)
def test_an_oracle_search_that_is_going_on_is_told(tmp_path, cycles, told, capsys):
    experiment = formula_experiment()
    study = OracleStudy(Grid((0.1, 0.2), refinements=0))
    write_facts(tmp_path, experiment, study.described())
    launcher = StoppedStudy(experiment, tmp_path, rising, cycles=cycles)
    with pytest.raises(Stopped):
        search_as_the_command_does(launcher, study)
    assert len(read_rows(tmp_path / "grid.csv")) == max(0, cycles - 6)
    code, _, err = call(tmp_path, capsys=capsys)
    assert (code, err) == (0, "")
    html = (tmp_path / "report.html").read_text()
    for words in (*told, "<td>commit</td><td>abc</td>"):
        assert words in html


def test_a_premise_whose_next_cycle_is_being_measured_is_told(tmp_path, capsys):
    write_premise(tmp_path)
    path = tmp_path / "cycles.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:5])
    assert call(tmp_path, capsys=capsys)[0] == 0
    assert "seed 2 lacks 5" in (tmp_path / "report.html").read_text()
    path.write_text(lines[0])
    code, _, err = call(tmp_path, capsys=capsys)
    assert (code, f"its run can be reported: {tmp_path / 'run'}" in err) == (2, True)


def refusals(folder: Path) -> dict[str, tuple[tuple[Any, ...], str]]:
    run, study, empty = folder / "run", folder / "study", folder / "empty"
    return {
        "no directory": ((folder / "nowhere",), "nowhere: is no directory; allowed: "),
        "nothing there": ((empty,), "empty: holds no results; allowed: "),
        "missing": ((), "DIR: missing; allowed: "),
        "no place": ((run, study), "--out: missing; allowed: --out=DIR"),
        "place of one": ((run, f"--out={empty}"), "allowed: with several directories"),
        "study among runs": ((run, study, f"--out={empty}"), "study: holds a study (comparison)"),
        "twice": ((run, run, f"--out={empty}"), "run: given twice; allowed: once"),
        "place of results": ((run, study, f"--out={run}"), "run holds results; allowed: another"),
        "unknown flag": ((run, "--ouput=x"), "argument: '--ouput'; allowed: --out"),
        "not begun": ((folder / "begun",), "no results yet, as no network has finished a cycle"),
    }


@pytest.mark.parametrize("name", refusals(Path("x")))
def test_bad_input_is_one_line_with_status_2(tmp_path, name, capsys):
    write_run(tmp_path / "run")
    write_comparison(tmp_path / "study")
    write_comparison(tmp_path / "begun", cell_rows()[:1])
    begun = tmp_path / "begun/cells.csv"
    begun.write_text(begun.read_text().splitlines(keepends=True)[0])
    (tmp_path / "empty").mkdir()
    arguments, words = refusals(tmp_path)[name]
    code, out, err = call(*arguments, capsys=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert not [*tmp_path.glob("*/report.html")]
