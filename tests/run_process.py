"""The run of `mlp_config.py` in processes of its own, to be compared with one never stopped."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mlp_config import get_config
from tests.run_files import final_states, without_times
from tests.tiny import assert_identical

ROOT = Path(__file__).parents[1]


def start(module: str, workdir: Path, *arguments: str) -> subprocess.Popen:
    flags = [f"--config={ROOT / 'tests/mlp_config.py'}", f"--workdir={workdir}"]
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(workdir: Path) -> None:
    process = start("experiments.run", workdir)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def assert_same_run(workdir: Path, straight: Path) -> None:
    config = get_config()
    assert without_times(workdir) == without_times(straight)
    assert_identical(final_states(workdir, config), final_states(straight, config))
    assert (workdir / "report.html").exists()
    hidden = {path.name for path in workdir.rglob(".*")}
    assert hidden == {".lock"}


@pytest.fixture(scope="session")
def straight(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("straight")
    finish(workdir)
    return workdir
