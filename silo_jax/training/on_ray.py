"""Cells on Ray: each is a task, which Ray's own scheduler gives to one of its worker processes.

Ray is imported here alone, and only once a launcher is made.
"""

import logging
import os
import pickle
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from silo_jax.checks import require
from silo_jax.training.cell_runner import CellRunner
from silo_jax.training.cells import Cell, Work, cell_files
from silo_jax.training.environment import write_environment
from silo_jax.training.experiment import Experiment, load_experiment
from silo_jax.training.interrupts import Stopped, StopRequest
from silo_jax.training.launch import NowAndThen, unfinished
from silo_jax.training.progress import CellsProgress
from silo_jax.training.workdir import InUseError, lock

_SECONDS_BETWEEN_POLLS = 1.0
_SECONDS_TO_ANSWER = 10.0  # for a cluster
_SECONDS_TO_SAVE = 60.0  # for the workers, when the study is stopped
_SECONDS_TO_DIE = 10.0  # for a worker that was killed, until its files are closed
_PROGRAMS_KEPT = 8  # by a worker, of works that differ in fields


class OnRay:
    """Runs cells on the cluster of ``RAY_ADDRESS``, or on a Ray of its own on this machine.

    A worker that dies is replaced by Ray, as often as ``RAY_TASK_MAX_RETRIES`` says (3 times), and
    the cell goes on from its newest state. Results are those of `silo_jax.training.launch.Local`
    with the strategy "map", bit for bit on the same kind of machine.

    All machines need this package, the data where the config has it, and the directory of the
    study, which they share. On machines with GPUs a task without ``num_gpus`` wants
    ``JAX_PLATFORMS=cpu``; with a share of a GPU, ``XLA_PYTHON_CLIENT_MEM_FRACTION``.
    """

    def __init__(
        self,
        experiment: Experiment,
        directory: Path,
        *,
        num_cpus: float = 1.0,
        num_gpus: float = 0.0,
        stop: StopRequest,
        progress: CellsProgress,
    ) -> None:
        """Args:
        experiment: of the study.
        directory: of the study.
        num_cpus: of a task; so many run on a machine at once as it has CPUs for.
        num_gpus: of a task; may be a share of one.
        stop: looked at about once a second.
        progress: where it is shown, from what the workers write.

        Raises:
          ValueError: Ray is missing or cannot be reached, or has not so many CPUs or GPUs; one
            line.
        """
        require("--ray_cpus", num_cpus, lambda n: (n > 0) & np.isfinite(n), "above 0")
        require("--ray_gpus", num_gpus, lambda n: (n >= 0) & np.isfinite(n), "0 or more")
        self.experiment, self.directory = experiment, directory
        self._stop, self._progress = stop, progress
        self._config = pickle.dumps(experiment.config)
        self._ray = _imported()
        self._run_cell = self._ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_run_cell)
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            _connect(self._ray, num_cpus, num_gpus)

    def run(self, works: Sequence[Work], meanwhile: Callable[[], object] | None = None) -> None:
        """Runs the cells that are not finished.

        Args:
          works: which.
          meanwhile: see `silo_jax.training.launch.Launcher`.

        Raises:
          Stopped: it was asked to stop; the states are saved.
          ValueError: another process runs one of the cells.
          OSError: a file cannot be read or written, workers die again and again, or a task was
        cancelled; one line.
        """
        left = unfinished(self, works)
        self._progress.begin(works, left)
        self.directory.mkdir(parents=True, exist_ok=True)
        if left:
            write_environment(self.directory)
        _note(self.directory).unlink(missing_ok=True)
        tasks = {self._submit(work, cell): (work, cell) for work, cell in left}
        shown, note = dict.fromkeys(tasks, 0), NowAndThen(meanwhile)
        try:
            while tasks:
                ended, _ = self._ray.wait(
                    [*tasks], num_returns=len(tasks), timeout=_SECONDS_BETWEEN_POLLS
                )
                for task, (work, cell) in tasks.items():
                    shown[task] += self._show(work, cell, shown[task])
                for task in ended:
                    self._check(task, *tasks.pop(task))
                note()
                self._stop.raise_if_asked()
        except BaseException:
            if tasks:
                self._stop_workers([*tasks])
            raise

    def close(self) -> None:
        """Ends the Ray of this machine, or leaves the cluster."""
        if self._is_ours:
            self._ray.shutdown()

    def _submit(self, work: Work, cell: Cell) -> Any:
        alone = work._replace(cells=(cell,), fields=dict(work.fields))
        return self._run_cell.remote(self._config, self.directory.absolute(), alone)

    def _show(self, work: Work, cell: Cell, num_shown: int) -> int:
        """Shows the lines that a cell has written since; how many."""
        rows = cell_files(self.directory, work, cell).rows()[num_shown:]
        for row in rows:
            if "diverged" in row:
                self._progress.diverged(work, cell, row["cycle"])
            else:
                self._progress.epoch(work, cell, row)
        return len(rows)

    def _check(self, task: Any, work: Work, cell: Cell) -> None:
        """Raises what the task has raised, or that it did not reach the end."""
        try:
            if not self._ray.get(task):
                raise OSError(f"{work.name}/{cell.name}: its task was cancelled")
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ValueError | OSError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise OSError(f"{work.name}/{cell.name}: {_first_line(error)}") from None

    def _stop_workers(self, tasks: list[Any]) -> None:
        """Has the workers save their states and return; tasks that have not begun return as well.

        They are not cancelled through Ray: when a task that is cancelled begins or ends just then,
        Ray ends this process (https://github.com/ray-project/ray/pull/54798).
        """
        note = _note(self.directory)
        note.touch()
        _, left = self._ray.wait(tasks, num_returns=len(tasks), timeout=_SECONDS_TO_SAVE)
        if not left:
            note.unlink()


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise ValueError(
            "--launcher: 'ray'; allowed: 'local', or pip install \"silo-jax[ray]\""
        ) from None
    return ray


def _connect(ray: Any, num_cpus: float, num_gpus: float) -> None:
    """Joins the cluster of ``RAY_ADDRESS``, or starts a Ray on this machine for such tasks."""
    address = os.environ.get("RAY_ADDRESS", "")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        options |= {"include_dashboard": False}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _keeping_signal_handlers(), warnings.catch_warnings():
        # Its processes are started by a fork, after which they do not go on with JAX.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        try:
            _require_answer(address)
            ray.init(address or "local", **options)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            name, reason = f"RAY_ADDRESS: {address or 'not set'}", _first_line(error)
            raise ValueError(f"{name}; allowed: that of a Ray that answers ({reason})") from None
    if not address:
        has = ray.cluster_resources()
        for name, wanted in (("CPU", num_cpus), ("GPU", num_gpus)):
            if wanted > has.get(name, 0):
                ray.shutdown()
                raise ValueError(
                    f"--ray_{name.lower()}s: {wanted:g}; allowed: at most the "
                    f"{has.get(name, 0):g} of this machine"
                )


@contextmanager
def _keeping_signal_handlers() -> Iterator[None]:
    """Ray has handlers of its own, which would end this process without a word to the workers."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def _require_answer(address: str) -> None:
    """Raises OSError where nobody listens, which takes Ray minutes to tell."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _note(directory: Path) -> Path:
    """A file that is there while workers are asked to stop."""
    return directory / ".stop"


class _WorkerStop(StopRequest):
    """Whether a worker was asked to stop, by the note or by a signal from Ray."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._note = _note(directory)

    @property
    def signum(self) -> int | None:
        return super().signum or (signal.SIGTERM if self._note.exists() else None)


def _run_cell(config: bytes, directory: Path, work: Work) -> bool:
    """In a worker: trains the only cell of a work; whether to its end."""
    (cell,) = work.cells
    stop = _stop_request(directory)
    stop.received = 0
    if stop.signum is not None:
        return False
    runner = _runner(config, directory, pickle.dumps(sorted(work.fields.items())))
    _wait_for_lock(cell_files(directory, work, cell).directory)
    try:
        with stop.listening():
            runner.run(work)
        return True
    except Stopped:
        # The state is saved. A signal has its usual effect now, of which Ray sees that the worker
        # has ended, and starts the task anew elsewhere.
        if stop.received:
            signal.raise_signal(stop.received)
        return False
    finally:
        runner.close()


@cache
def _stop_request(directory: Path) -> _WorkerStop:
    return _WorkerStop(directory)


@lru_cache(_PROGRAMS_KEPT)
def _runner(config: bytes, directory: Path, fields: bytes) -> CellRunner:
    """The programs of a worker, compiled once for all cells that it is given."""
    return CellRunner(
        _experiment(config).with_fields(dict(pickle.loads(fields))),
        directory,
        strategy="map",
        at_once=1,
        stop=_stop_request(directory),
        progress=CellsProgress(Console(quiet=True)),
    )


@lru_cache(1)
def _experiment(config: bytes) -> Experiment:
    return load_experiment(pickle.loads(config), split_batches=False)


def _wait_for_lock(directory: Path) -> None:
    """Waits for a moment where another process holds a cell: it may just be ending."""
    directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while time.monotonic() < deadline:
        try:
            with lock(directory):
                return
        except InUseError:
            time.sleep(0.1)
