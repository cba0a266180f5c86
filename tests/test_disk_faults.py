"""A run whose disk fails says so in one line, loses nothing, and goes on when it works again."""

import csv
import json
import tempfile
from pathlib import Path

import pytest

from silo_jax.checksums import find_damage
from tests.failing_run import restore_permission
from tests.run_process import assert_same_run, finish, start

TIMES = {"seconds", "images_per_second"}
CAUSES = {"full": "File too large", "read-only": "Permission denied"}


@pytest.fixture
def workdir():
    with tempfile.TemporaryDirectory() as parent:  # tmp_path is for its owner only
        Path(parent).chmod(0o777)
        yield Path(parent) / "run"


def failed(workdir: Path, fault: str, part: str, count: int = 1) -> tuple[int, str]:
    """The exit status of a run whose disk fails, and what it says besides its progress."""
    process = start("tests.failing_run", workdir, fault, part, str(count))
    _, errors = process.communicate()
    restore_permission(workdir)
    said = [line for line in errors.splitlines(keepends=True) if not line.startswith("seed ")]
    return process.returncode, "".join(said)


def whole_rows(path: Path) -> list[dict]:
    """The rows of a result file but for their times; a line that was cut off is none."""
    text = path.read_text() if path.exists() else ""
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    rows = map(json.loads, lines) if path.suffix == ".jsonl" else csv.DictReader(lines)
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def assert_intact(workdir: Path, straight: Path) -> None:
    """All rows are those of the run that never failed, all checkpoints are sound."""
    for name in ("metrics.jsonl", "cycles.csv", "layers.csv"):
        rows = whole_rows(workdir / name)
        assert rows == whole_rows(straight / name)[: len(rows)]
    checkpoints = (workdir / "checkpoints").glob("seed_*/*/*")
    for path in checkpoints:
        assert not path.name.isdigit() or find_damage(path / "state") is None


def newest_states(workdir: Path) -> list[int]:
    """The step of the newest state of either seed."""
    return [
        max((int(path.name) for path in states if path.name.isdigit()), default=0)
        for states in (workdir.glob(f"checkpoints/seed_{seed}/states/*") for seed in (0, 1))
    ]


def assert_survived(workdir: Path, straight: Path, faults: list[tuple]) -> None:
    """One session after another fails; the one that does not ends as if none had."""
    reached = [0, 0]
    for fault, *where in faults:
        status, said = failed(workdir, fault, *where)
        assert status == 1, said
        assert said.startswith("error: ")
        assert CAUSES[fault] in said
        assert str(workdir) in said
        assert said.endswith("; what was written before is kept\n")
        assert said.count("\n") == 1
        assert_intact(workdir, straight)
        before, reached = reached, newest_states(workdir)
        assert reached >= before
    finish(workdir)
    assert_same_run(workdir, straight)


def test_a_run_whose_disk_fails_goes_on_bit_for_bit(workdir, straight):
    faults = [("full", "seed_0/states/40"), ("read-only", "cycles.csv", 2)]
    assert_survived(workdir, straight, faults)


PLACES = [
    ("schedule.csv",),
    ("environment.json",),
    ("seed_0/states/20",),
    ("seed_0/rewind/20",),
    ("metrics.jsonl", 2),
    ("checksums.json", 3),
    ("layers.csv", 2),
    ("cycles.csv", 2),
    ("seed_1/states",),
    ("seed_1/states/120",),
    ("figures/.training_curves.png",),
    ("report.html",),
]


@pytest.mark.stress
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_the_disk_fails_wherever_something_is_written(workdir, straight, fault):
    assert_survived(workdir, straight, [(fault, *place) for place in PLACES])


@pytest.mark.parametrize(("fault", "part"), [("full", "run/.lock"), ("read-only", ".config.json")])
def test_a_directory_that_cannot_be_written_is_bad_input(workdir, fault, part):
    workdir.mkdir()
    status, said = failed(workdir, fault, part)
    assert (status, said) == (2, f"error: workdir: {workdir} cannot be written: {CAUSES[fault]}\n")
