"""The display of runs and studies: what it shows, what it estimates, and when it is silent."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from silo_jax.cli.run import main
from silo_jax.training.cells import Cell, Work
from silo_jax.training.progress import CellsProgress, RunProgress
from silo_jax.training.run import run
from silo_jax.training.state import Sums
from tests.mlp_config import get_config
from tests.run_files import without_times

ROOT = Path(__file__).parents[1]


class Clock:
    """Seconds, which pass when they are told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def terminal(width=80, **options):
    """A console that takes itself for a terminal."""
    environment = {"TERM": "xterm", "COLUMNS": str(width), "LINES": "30"}
    return Console(file=io.StringIO(), force_terminal=True, _environ=environment, **options)


def last_frame(console):
    """The lines that stay on the terminal."""
    *_, frame = re.split(r"\x1b\[1A\x1b\[2K(?!\x1b\[1A)", console.file.getvalue())
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", frame).strip("\r\n").splitlines()


def run_progress(console, clock):
    """Two seeds of three cycles of 10 steps: epochs of 4, 4 and 2 steps of 8 images."""
    return RunProgress(
        console,
        num_seeds=2,
        num_cycles=3,
        steps_per_cycle=10,
        steps_per_epoch=4,
        batch_size=8,
        clock=clock,
    )


def epoch_row(step, seed=0, **fields):
    cycle, rest = divmod(step - 1, 10)
    row = {"seed": seed, "cycle": cycle, "epoch": rest // 4 + 1, "step": step, "density": 0.8}
    row |= {"lr": 0.05, "train_loss": 0.25, "train_accuracy": 91.0, "val_accuracy": 90.0}
    return row | {"images_per_second": 1234, "seconds": 1.0} | fields


def cycle_row(step, seed=0):
    return epoch_row(step, seed, max_lr=0.1, test_accuracy=89.0)


@pytest.mark.parametrize("resumed_at", [0, 8, 10, 13])
@pytest.mark.parametrize("pause", [0, 1000])
def test_the_time_left_is_that_of_the_steps_left_whatever_lay_before(resumed_at, pause):
    """Steps of 2 s, and pauses for compiling and between the seeds."""
    console, clock = Console(file=io.StringIO(), width=200), Clock()
    with run_progress(console, clock) as progress:
        ends = [step for cycle in (0, 10, 20) for step in (cycle + 4, cycle + 8, cycle + 10)]
        total, left = 2 * 30 - resumed_at, []
        for seed, first in ((0, resumed_at), (1, 0)):
            clock.now += pause
            progress.resume(seed, first)
            for step in (end for end in ends if end > first):
                clock.now += 2 * (step - first)
                total, first = total - (step - first), step
                progress.epoch(epoch_row(step, seed))
                if step % 10 == 0:
                    left.append(2 * total)
                    progress.cycle(cycle_row(step, seed))
            progress.end(seed)
    lines = [line for line in console.file.getvalue().splitlines() if "max_lr" in line]
    told = [re.search(r"left: run (\d+):(\d+):(\d+)$", line).groups() for line in lines]
    assert [int(h) * 3600 + int(m) * 60 + int(s) for h, m, s in told] == left
    assert left[-1] == 0


def test_a_run_on_a_terminal_is_a_table_with_a_row_a_seed():
    console, clock = terminal(), Clock()
    with run_progress(console, clock) as progress:
        clock.now = 500  # compiling
        progress.end(0)
        progress.resume(1, 10)
        look = progress.watching(1)
        clock.now += 0.9
        look(11, None)  # too early to look at the sums
        clock.now += 0.1
        look(12, Sums(np.float32(6), np.int32(12), np.int32(16)))
        clock.now += 4
        look(13, Sums(np.float32(6), np.int32(18), np.int32(24)))
    _, row, bar = last_frame(console)
    # Cycle 1 is at its first epoch: no validation, lr or density yet. 3 steps took 5 s, the last
    # one 4 s; 10 steps were left of the cycle at 0 s, and 20 of the run.
    assert row.split() == ["1", "1/2", "1/3", "0.2500", "75.00", "–", "–", "–", "2"]
    assert bar.endswith(" 12/18 epochs · 0:08:25 · left: cycle 0:00:12, run 0:00:29")
    console = terminal()
    with run_progress(console, clock) as progress:
        progress.resume(0, 0)
        clock.now += 8
        progress.epoch(epoch_row(4))
        clock.now += 1
    header, row, bar = last_frame(console)
    assert row.split() == ["0", "0/2", "1/3", "0.2500", "91.00", "90.00", "0.05", "80.00%", "1,234"]
    assert bar.endswith(" 1/18 epochs · 0:00:09 · left: cycle 0:00:11, run 0:01:51")
    names = "seed cycle epoch loss train % val % lr density images/s"
    assert " ".join(header.split()) == names


def test_a_seed_that_is_given_up_is_marked_and_nothing_of_it_is_left():
    console, clock = terminal(), Clock()
    with run_progress(console, clock) as progress:
        progress.resume(0, 0)
        clock.now += 4
        progress.epoch(epoch_row(4))
        progress.end(0)
    _, row, bar = last_frame(console)
    assert row.split() == ["0", "0/2", "diverged"]
    assert bar.endswith("9/18 epochs · 0:00:04 · left: cycle 0:00:00, run 0:00:30")


def test_elsewhere_there_is_a_line_a_cycle_and_a_line_a_minute_within_one():
    console, clock = Console(file=io.StringIO(), width=60), Clock()
    with run_progress(console, clock) as progress:
        assert progress.watching(0) is None
        progress.resume(0, 0)
        for step, now in ((4, 40), (8, 80)):
            clock.now = now
            progress.epoch(epoch_row(step))
        clock.now = 100
        progress.epoch(epoch_row(10))
        progress.cycle(cycle_row(10))
    assert console.file.getvalue().splitlines() == [
        "seed 0  cycle 0/2  density 80.00 %  epoch 2/3  lr 0.05  loss 0.2500  val 90.00 %  "
        "1234 images/s  left: cycle 0:00:20, run 0:08:40",
        "seed 0  cycle 0/2  density 80.00 %  max_lr 0.1  loss 0.2500  val 90.00 %  "
        "test 89.00 %  1.0 s  1234 images/s  left: run 0:08:20",
    ]


def cells_of(names, num_cycles=4, first_cycle=0):
    cells = (Cell(name, 0, (0.1,) * num_cycles, first_cycle, num_cycles) for name in names)
    return Work("work", tuple(cells), {})


def cell_row(cycle):
    row = {"cycle": cycle, "density": 0.5, "max_lr": 0.03, "train_loss": 1.5, "val_accuracy": 50.0}
    return row | {"ends_cycle": True}


def test_the_time_left_of_a_study_is_that_of_all_its_cycles_but_those_done_before():
    """Cell "a" is finished, "b" has 3 of 4 cycles, "c" and "d" go together and take 10 s a cycle.

    Another 8 cycles are expected, of cells that have not begun.
    """
    consoles = terminal(), Console(file=io.StringIO())
    for console in consoles:
        clock, work = Clock(), cells_of("abcd")
        _, b, c, d = work.cells
        with CellsProgress(console, num_cycles=24, clock=clock) as progress:
            progress.begin([work], [(work, cell) for cell in (b, c, d)])
            clock.now = 700  # compiling
            progress.resume(3)
            clock.now += 5
            progress.epoch(work, b, cell_row(3))
            clock.now += 100
            progress.resume(0)
            clock.now += 10
            progress.epoch(work, c, cell_row(0))
            progress.epoch(work, d, cell_row(0))
            clock.now += 10
            progress.diverged(work, c, 1)
            progress.epoch(work, d, cell_row(1))
            clock.now += 1
    header, *rows, bar = last_frame(consoles[0])
    assert header.split() == ["cell", "cycle", "loss", "val", "%", "max_lr", "density"]
    assert [row.split() for row in rows] == [
        ["work/b", "3/3", "1.5000", "50.00", "0.03", "50.00%"],
        ["work/c", "1/3", "diverged"],
        ["work/d", "1/3", "1.5000", "50.00", "0.03", "50.00%"],
    ]
    # 25 s for 5 cycles; left are 2 of "d" and the 8 that are expected.
    assert bar.endswith(" 14/24 cycles of cells · 0:13:46 · left: 0:00:49")
    assert consoles[1].file.getvalue().splitlines() == [
        "work/b  cycle 3/3  density 50.00 %  max_lr 0.03  loss 1.5000  val 50.00 %  left: 0:01:20",
        "work/c  cycle 1/3  diverged  left: 0:01:09",
    ]


def test_no_line_is_wider_than_a_terminal_of_80_columns():
    long = {"train_loss": 123.4567, "train_accuracy": 100.0, "val_accuracy": 100.0, "lr": 0.000224}
    console, clock = terminal(80), Clock()
    with run_progress(console, clock) as progress:
        progress.resume(0, 0)
        clock.now += 360_000
        progress.epoch(epoch_row(4, **long, density=1.0, images_per_second=1_234_567))
    assert [len(line) <= 80 for line in last_frame(console)] == [True] * 3
    console = terminal(80)
    names = [f"{'long' * 15}/seed_{seed}" for seed in range(40)]
    work = cells_of(names)
    with CellsProgress(console, clock=clock) as progress:
        progress.begin([work], [(work, cell) for cell in work.cells])
        for cell in work.cells:
            progress.epoch(work, cell, cell_row(0))
    lines = last_frame(console)
    assert len(lines) == 18
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("console", [terminal(quiet=True), Console(file=io.StringIO(), quiet=True)])
def test_a_quiet_console_shows_nothing(console):
    clock, work = Clock(), cells_of("a")
    with run_progress(console, clock) as progress, CellsProgress(console, clock=clock) as cells:
        progress.resume(0, 0)
        clock.now += 100
        for step in (4, 8, 10):
            progress.epoch(epoch_row(step))
        progress.cycle(cycle_row(10))
        cells.begin([work], [(work, work.cells[0])])
        cells.diverged(work, work.cells[0], 0)
        assert progress.watching(0) is None
    assert console.file.getvalue() == ""


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_a_run_is_the_same_shown_step_by_step_and_quiet(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # a config loaded before
    arguments = (f"--config={ROOT / 'tests/mlp_config.py'}", f"--workdir={tmp_path / 'quiet'}")
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments, "--quiet"])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert out.endswith(f"report: {tmp_path / 'quiet/report.html'}\n")

    for module in ("progress", "in_memory"):
        monkeypatch.setattr(f"silo_jax.training.{module}._SECONDS_BETWEEN_LOOKS", 0.0)
    console, shown = terminal(), tmp_path / "shown"
    run(get_config(), shown, console)
    _, *rows, bar = last_frame(console)
    assert [row.split()[:3] for row in rows] == [["0", "2/2", "2/2"], ["1", "2/2", "2/2"]]
    assert " 12/12 epochs · " in bar
    assert bar.endswith("left: cycle 0:00:00, run 0:00:00")
    assert without_times(shown) == without_times(tmp_path / "quiet")
