"""What `silo-jax inspect` says of runs that are finished, stopped or going on, and of studies."""

import json
import math
import os
import re
import shutil
from contextlib import suppress

import pytest
from rich.console import Console

from silo_jax.cli import inspect as command
from silo_jax.reporting.inspection import inspect_run, next_lines
from silo_jax.reporting.inspection_study import study_lines, study_table
from silo_jax.training.facts import read_facts
from silo_jax.training.interrupts import Stopped
from silo_jax.training.loop import run_seeds
from silo_jax.training.run import prepared
from silo_jax.training.workdir import lock
from tests.reporting_run import config as run_config
from tests.run_files import StopAfter, rows_of
from tests.tiny import tiny_config

CONFIG = tiny_config(pruning__num_cycles=3, seeds=(3, 4), training__epochs_per_cycle=3)


def stopped(workdir, num_looks):
    with prepared(CONFIG, workdir) as experiment, suppress(Stopped):
        run_seeds(experiment, workdir, Console(quiet=True), StopAfter(num_looks))
    return experiment


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("inspect") / "run"
    stopped(workdir, 10_000)
    return workdir


def shown(directory, capsys, *flags):
    command.main(["silo-jax inspect", str(directory), *flags])
    return capsys.readouterr().out


def cells(text, columns):
    """The rows of tables with so many columns."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return [row for row in rows if len(row) == columns]


@pytest.fixture(scope="module", params=[4, 14])
def halted(request, tmp_path_factory):
    """A run that was stopped, and its experiment."""
    workdir = tmp_path_factory.mktemp("halted") / "run"
    return workdir, stopped(workdir, request.param)


def test_a_stopped_run_goes_on_where_it_is_said_to(halted):
    workdir, experiment = halted
    run = inspect_run(workdir)
    seed = next(seed for seed in CONFIG.seeds if not run.is_finished(seed))
    step = max(run.states[seed], default=0)
    assert 0 < step < experiment.num_steps
    cycle, epoch, _ = experiment.position(step)
    (said, goes_on) = next_lines(run)
    then = ", then seed 4" if seed == 3 else ""
    assert said == (
        f"next: cycle {cycle} epoch {epoch + 1} of seed {seed}{then}; "
        "the same command goes on from there"
    )
    environment = json.loads((workdir / "environment.json").read_text())
    assert goes_on.strip() == environment["command"]
    for each in (*range(0, experiment.num_steps, 7), step):
        assert run.position(each) == (
            experiment.position(each)[0],
            experiment.position(each)[1] + 1,
        )


def test_a_finished_run_has_its_tables(finished, capsys):
    text = shown(finished, capsys, "--cycle=1", "--seed=4")
    layers = [
        row for row in rows_of(finished / "layers.csv") if (row["cycle"], row["seed"]) == ("1", "4")
    ]
    printed = {row[0]: row[1:] for row in cells(text, 5)}
    shapes = read_facts(finished).shapes
    for row in layers:
        shape, size, kept, density = printed[row["layer"]]
        assert [int(side) for side in shape.split("×")] == [*shapes[row["layer"]]]
        assert math.prod(shapes[row["layer"]]) == int(size.replace(",", "")) == int(row["size"])
        assert int(kept.replace(",", "")) == int(row["kept"])
        assert float(density) == pytest.approx(100 * float(row["density"]), abs=0.005)
    assert text.splitlines()[-1] == "finished: nothing is left to train"
    ends = [row[1] for row in cells(text, 4) if row[2] == "cycle 2, its end"]
    assert ends == [rows_of(finished / "cycles.csv")[-1]["step"]] * 2


def test_shapes_come_from_a_checkpoint_where_a_run_has_not_written_them(finished, tmp_path, capsys):
    older = shutil.copytree(finished, tmp_path / "run")
    (older / "network.json").unlink()
    assert shown(older, capsys) == shown(finished, capsys)


def test_a_process_at_work_is_named_and_nothing_is_written(halted, capsys):
    workdir, _ = halted
    with lock(workdir):
        before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
        last = shown(workdir, capsys).splitlines()[-1]
        assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before
    assert re.fullmatch(rf"process {os.getpid()} is at work: from cycle \d epoch \d of .*", last)


def test_a_run_that_was_given_up_is_not_next(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(run / "checkpoints/seed_4")
    (run / "diverged.csv").write_text(
        "seed,cycle,step,max_lr,lr,last_finite_loss,last_sound_step,next_max_lr\n"
        "4,0,3,0.1,0.1,2.5,0,nan\n"
    )
    assert next_lines(inspect_run(run)) == [
        "seed 4 was given up, as it diverged",
        "finished: nothing is left to train",
    ]


def test_damage_is_found_when_asked_for(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    step = rows_of(run / "cycles.csv")[0]["step"]
    (run / f"checkpoints/seed_3/states/{step}/state/manifest.ocdbt").write_bytes(b"x")
    sound = {(row[0], row[1]): row[4] for row in cells(shown(run, capsys, "--verify"), 5)[1:]}
    assert sound.pop(("3", step)) == "manifest.ocdbt is damaged"
    checkpoints = {value for (seed, _), value in sound.items() if seed in ("3", "4")}
    assert checkpoints == {"yes"}


def write_cell(directory, *rows, dropped=False):
    directory.mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (directory / "metrics.jsonl").write_text(text + '{"cycle": 9, "ends')  # a line cut off
    if dropped:
        (directory / "state_dropped").touch()


def study(directory, **fields):
    (directory / "config.json").write_text(json.dumps(run_config()))  # 5 cycles, 3 seeds
    (directory / "study.json").write_text(json.dumps(fields))


def end(cycle):
    return {"cycle": cycle, "ends_cycle": True}


def test_the_cells_of_a_comparison_are_counted(tmp_path, capsys):
    grid = {"options": ["silo", "cosine"], "max_lrs": [0.1, 0.2], "hindsight": True}
    study(tmp_path, kind="comparison", along="schedule", **grid)
    silo = tmp_path / "cells/silo/max_lr_0.1"
    write_cell(silo / "seed_0", end(3), end(4))
    write_cell(silo / "seed_1", end(3), {"cycle": 4, "ends_cycle": False})
    write_cell(silo / "seed_2", end(0), {"cycle": 1, "diverged": True})
    text = shown(tmp_path, capsys)
    assert text.splitlines()[0] == "comparison · digits · lenet_300_100 · seeds 0, 1, 2"
    assert cells(text, 4)[1:] == [
        ["silo", "2", "3", "6"],
        ["cosine", "0", "0", "6"],
        ["all", "2", "3", "12"],
    ]


def test_the_cells_of_a_search_are_counted_by_cycle(tmp_path):
    study(tmp_path, kind="oracle")
    write_cell(tmp_path / "cells/cycle_01/stage_0/max_lr_0.1/seed_0", end(1))
    write_cell(tmp_path / "cells/cycle_01/stage_1/max_lr_0.1/seed_0")
    write_cell(tmp_path / "cells/silo/seed_0", end(1), dropped=True)
    write_cell(tmp_path / "cells/silo/seed_1", end(1))
    table = study_table(tmp_path)
    columns = [list(column.cells) for column in table.columns]
    assert columns == [["cycle_01", "silo", "all"], ["1", "1", "2"], ["2", "2", "4"]]


def test_a_premise_tells_of_its_run(finished, tmp_path):
    study(tmp_path, kind="premise", cycles=[0, 2])
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "cycles.csv").write_text("seed,cycle\n3,0\n3,2\n4,0\n")
    measured, last = study_lines(tmp_path)
    assert (measured, last) == (
        "measured: 3 of 4 cycles of its run",
        "finished: nothing is left to train",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["EMPTY"], "allowed: the directory of a run or a study"),
        (["RUN", "--cycle=3"], "--cycle: 3; allowed: 0 to 2, which seed 3 has finished"),
        (["RUN", "--seed=5"], "--seed: 5; allowed: 3, 4"),
        (["RUN", "--config=x"], "argument: '--config'; allowed: --cycle, --seed, --verify"),
    ],
)
def test_bad_input_is_one_line_with_status_2(finished, tmp_path, capsys, arguments, said):
    paths = {"RUN": str(finished), "EMPTY": str(tmp_path)}
    with pytest.raises(SystemExit) as ended:
        command.main(["silo-jax inspect", *(paths.get(each, each) for each in arguments)])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.count("\n") == 1
    assert said in printed.err
