"""Cells on a Ray of this machine: what they come to is what they come to in this process."""

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from silo_jax.training import on_ray
from silo_jax.training.cells import Cell, Work, cell_files
from silo_jax.training.experiment import load_experiment
from silo_jax.training.interrupts import Stopped, StopRequest
from silo_jax.training.launch import Local, unfinished
from silo_jax.training.on_ray import OnRay
from silo_jax.training.progress import CellsProgress
from tests.compilations import compiled_once
from tests.tiny import tiny_config

pytest.importorskip("ray", reason='needs Ray: pip install "silo-jax[ray]"')


@pytest.fixture(scope="module")
def experiment():
    return load_experiment(
        tiny_config(
            pruning__num_cycles=6,
            rewind__epoch=1,
            training__epochs_per_cycle=4,
            evaluation__select="best_validation",
        )
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Ray's files are removed; what one process compiles, the others read."""
    programs = tmp_path_factory.mktemp("programs")
    temporary = tempfile.mkdtemp(prefix="ray")  # the paths of its sockets must be short
    with pytest.MonkeyPatch.context() as patch, compiled_once(programs):
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_TMPDIR", temporary)
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(programs))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setattr(on_ray, "_SECONDS_BETWEEN_POLLS", 0.05)
        yield
    shutil.rmtree(temporary)


@pytest.fixture(scope="module")
def straight(experiment, environment, tmp_path_factory):
    directory, work = tmp_path_factory.mktemp("straight"), work_of(experiment)
    progress = CellsProgress(Console(quiet=True))
    Local(
        experiment, directory, strategy="map", at_once=1, stop=StopRequest(), progress=progress
    ).run([work])
    return rows_of(directory, work)


def work_of(experiment, **fields) -> Work:
    """More cells than there are workers on two cores."""
    peaks = tuple(experiment.peaks)
    cells = tuple(Cell(f"seed_{seed}", seed, peaks, 0, len(peaks)) for seed in (0, 1, 2))
    return Work("work", cells, fields)


def rows_of(directory, work) -> list:
    rows = [row for cell in work.cells for row in cell_files(directory, work, cell).rows()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def when_a_line_is_added(directory, work, act) -> threading.Thread:
    """Calls ``act`` with the files of the first cell that has more lines than now."""
    files = [cell_files(directory, work, cell) for cell in work.cells]
    before = [len(each.rows()) for each in files]

    def watch():
        while True:
            for each, num_rows in zip(files, before, strict=True):
                if len(each.rows()) > num_rows:
                    act(each)
                    return
            time.sleep(0.002)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def worker_of(directory: Path) -> int:
    return int((directory / ".lock").read_text())


def children() -> list[int]:
    """Processes that this one has started and that have not ended."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.exists() and int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid()
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_stopped_and_with_a_worker_killed_results_are_the_same(experiment, straight, tmp_path):
    work, lines = work_of(experiment), StringIO()
    seen, before = {}, children()

    def ask(files):
        os.kill(os.getpid(), signal.SIGTERM)

    def kill(files):
        seen["files"], seen["worker"] = files, worker_of(files.directory)
        os.kill(seen["worker"], signal.SIGKILL)
        seen["rows"] = len(files.rows())

    progress = CellsProgress(Console(file=lines))
    with (
        StopRequest().listening() as stop,
        closing(OnRay(experiment, tmp_path, stop=stop, progress=progress)) as launcher,
    ):
        when_a_line_is_added(tmp_path, work, ask)
        with pytest.raises(Stopped, match="SIGTERM"):
            launcher.run([work])
        assert unfinished(launcher, [work])
        assert list(tmp_path.rglob("checkpoints/states/*"))
        stop.received = 0

        thread = when_a_line_is_added(tmp_path, work, kill)
        launcher.run([work])
        thread.join()
        assert seen["rows"] < len(straight) // 3
        assert seen["worker"] != worker_of(seen["files"].directory)
        assert rows_of(tmp_path, work) == straight
        workers = {worker_of(path.parent) for path in tmp_path.rglob(".lock")}
        assert os.getpid() not in workers
        assert lines.getvalue().count("cycle 5/5") == 3

        modified = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        launcher.run([work])
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == modified

        with pytest.raises(ValueError, match=r"^field: 'no.field'; allowed: [^\n]*$"):
            launcher.run([work_of(experiment, **{"no.field": 1})._replace(name="fields")])
        missing = work.cells[0]._replace(first_cycle=1, after="work/nowhere")
        with pytest.raises(OSError, match=r"^[^\n]*work/nowhere[^\n]*is missing$"):
            launcher.run([Work("after", (missing,), {})])
    assert not list(tmp_path.glob(".*"))
    assert set(children()) <= set(before)
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_cpus": 0}, "--ray_cpus: 0; allowed: above 0"),
        ({"num_cpus": float("nan")}, "--ray_cpus: nan; allowed: above 0"),
        ({"num_gpus": -1}, "--ray_gpus: -1; allowed: 0 or more"),
    ],
)
def test_impossible_tasks_are_refused(experiment, tmp_path, options, message):
    progress = CellsProgress(Console(quiet=True))
    with pytest.raises(ValueError, match=f"^{message}$"):
        OnRay(experiment, tmp_path, stop=StopRequest(), progress=progress, **options)


def test_a_cluster_that_does_not_answer_is_refused_in_a_line(experiment, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    for told in (address, "localhost:99999", "somewhere"):
        monkeypatch.setenv("RAY_ADDRESS", told)
        with pytest.raises(ValueError, match=rf"^RAY_ADDRESS: {told}; allowed: [^\n]*$"):
            OnRay(experiment, tmp_path, stop=StopRequest(), progress=CellsProgress(Console()))


def test_without_ray_it_is_told_how_to_get_it(experiment, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    message = "--launcher: 'ray'; allowed: 'local', or pip install \"silo-jax[ray]\""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        OnRay(experiment, tmp_path, stop=StopRequest(), progress=CellsProgress(Console()))
