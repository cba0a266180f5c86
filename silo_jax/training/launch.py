"""Where the cells of a study are run: in this process, or on Ray (`silo_jax.training.on_ray`)."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import jax

from silo_jax.training.cell_runner import CellRunner
from silo_jax.training.cells import Cell, Work, is_finished
from silo_jax.training.environment import write_environment
from silo_jax.training.experiment import DeviceData, Experiment
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.progress import CellsProgress
from silo_jax.training.replicas import default_strategy

_SECONDS_BETWEEN_POLLS = 1.0
_SECONDS_BETWEEN_NOTES = 10.0


class UnfinishedError(Exception):
    """Cells are left that other shares run; once they have, the same command goes on."""


class Share(NamedTuple):
    """The part of the cells that one job of an array runs: every n-th, from the i-th on."""

    number: int = 0
    of_shares: int = 1

    def pick(self, works: Sequence[Work]) -> list[Work]:
        """The works with the share's cells; those of which it has none are left out."""
        pairs = [(work, cell) for work in works for cell in work.cells]
        mine = {(work.name, cell.name) for work, cell in pairs[self.number :: self.of_shares]}
        picked = [
            work._replace(cells=tuple(c for c in work.cells if (work.name, c.name) in mine))
            for work in works
        ]
        return [work for work in picked if work.cells]


class Launcher(Protocol):
    """Runs works; their results lie in the directory of the study."""

    experiment: Experiment
    directory: Path

    def run(self, works: Sequence[Work], meanwhile: Callable[[], object] | None = None) -> None:
        """Runs the cells that are not finished, and returns when all are.

        Args:
          works: which.
          meanwhile: called now and then while they run, to write down what they have reached.
        """


class NowAndThen:
    """Calls a function when it is called itself, but not too often.

    Between two calls lie ten seconds at least, and twenty times as long as a call takes.
    """

    def __init__(self, function: Callable[[], object] | None) -> None:
        self._function, self._next = function, time.monotonic() + _SECONDS_BETWEEN_NOTES

    def __call__(self) -> None:
        started = time.monotonic()
        if self._function is None or started < self._next:
            return
        self._function()
        ended = time.monotonic()
        self._next = ended + max(_SECONDS_BETWEEN_NOTES, 20 * (ended - started))


class Local:
    """Runs cells in this process, several at once."""

    def __init__(
        self,
        experiment: Experiment,
        directory: Path,
        *,
        strategy: str = "",
        at_once: int = 0,
        share: Share | None = None,
        wait_seconds: float = 0.0,
        stop: StopRequest,
        progress: CellsProgress,
    ) -> None:
        """Args:
        experiment: of the study.
        directory: of the study.
        strategy: see `silo_jax.training.replicas.over_replicas`; "" for the device's default.
        at_once: cells that are trained together, at most; 0 for the device's default.
        share: of a job array; by default all cells.
        wait_seconds: how long it waits for other shares to finish their cells.
        stop: looked at about once a second while training.
        progress: where it is shown.

        Raises:
          ValueError: several at once on data that is streamed.
        """
        self.experiment, self.directory = experiment, directory
        self._strategy = strategy or default_strategy()
        self._at_once = at_once or default_at_once(experiment, self._strategy)
        if self._at_once > 1 and not isinstance(experiment.data, DeviceData):
            raise ValueError(f"at_once: {at_once}; allowed: 1 with data that is streamed")
        self._share, self._wait_seconds = share or Share(), wait_seconds
        self._stop, self._progress = stop, progress
        self._runners: dict[str, CellRunner] = {}

    def run(self, works: Sequence[Work], meanwhile: Callable[[], object] | None = None) -> None:
        """Runs the share's cells that are not finished.

        Args:
          works: which.
          meanwhile: see `Launcher`.

        Raises:
          UnfinishedError: other shares have not run theirs yet.
          Stopped: it was asked to stop; the states are saved.
          ValueError: another process runs one of the cells.
          OSError: a file cannot be read or written; one line.
        """
        mine, note = self._share.pick(works), NowAndThen(meanwhile)
        left = unfinished(self, mine)
        self._progress.begin(mine, left)
        if left:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_environment(self.directory)
        for work in mine:
            if unfinished(self, [work]):
                self._runner(work).run(work, note)
        deadline = time.monotonic() + self._wait_seconds
        while others := unfinished(self, works):
            if time.monotonic() > deadline:
                raise UnfinishedError(f"{len(others)} cells of other shares are left")
            self._stop.raise_if_asked()
            note()
            time.sleep(_SECONDS_BETWEEN_POLLS)

    def close(self) -> None:
        """Ends the processes that read data, if there are any."""
        for runner in self._runners.values():
            runner.close()

    def _runner(self, work: Work) -> CellRunner:
        """The runner of the work's fields; the one before is dropped, and its programs with it."""
        key = repr(sorted(work.fields.items()))
        if key not in self._runners:
            self.close()
            self._runners = {
                key: CellRunner(
                    self.experiment.with_fields(work.fields),
                    self.directory,
                    strategy=self._strategy,
                    at_once=self._at_once,
                    stop=self._stop,
                    progress=self._progress,
                )
            }
        return self._runners[key]


def default_at_once(experiment: Experiment, strategy: str) -> int:
    """Cells that are trained together: 8 a device; with "map", and of streamed data, one.

    A group on the CPU saves up to two fifths of the time with a small network, up to a fifth with
    a ResNet-20 (``benchmarks/replicas.py``), and holds the memory of all its cells.
    """
    if not isinstance(experiment.data, DeviceData) or strategy == "map":
        return 1
    return 8 * (len(jax.local_devices()) if strategy == "shard" else 1)


def unfinished(launcher: Launcher, works: Sequence[Work]) -> list[tuple[Work, Cell]]:
    """The cells that have not reached their end, each with its work."""
    experiment, directory = launcher.experiment, launcher.directory
    return [
        (work, cell)
        for work in works
        for cell in work.cells
        if not is_finished(directory, work, cell, experiment)
    ]
