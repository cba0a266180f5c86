"""Where the cells of a study are run: in this process, or on Ray (`silo_jax.training.on_ray`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from silo_jax.training.cell_runner import CellRunner
from silo_jax.training.cells import Cell, Outcome, Work, is_finished, read_cell
from silo_jax.training.experiment import DeviceData, Experiment
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.progress import CellsProgress
from silo_jax.training.replicas import default_strategy


class UnfinishedError(Exception):
    """Cells are left that other shares run; once they have, the same command goes on."""


class Share(NamedTuple):
    """The part of the cells that one job of an array runs: every n-th, from the i-th on."""

    number: int = 0
    of_shares: int = 1

    def pick(self, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return cells[self.number :: self.of_shares]


class Launcher(Protocol):
    """Runs works; their results lie in the directory of the study."""

    experiment: Experiment
    directory: Path

    def run(self, work: Work) -> None:
        """Runs the cells that are not finished, and returns when all are."""


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
        stop: StopRequest,
        progress: CellsProgress,
    ) -> None:
        """Args:
        experiment: of the study.
        directory: of the study.
        strategy: see `silo_jax.training.replicas.over_replicas`; "" for the device's default.
        at_once: cells that are trained together, at most; 0 for the device's default.
        share: of a job array; by default all cells.
        stop: looked at about once a second while training.
        progress: where it is shown.
        """
        self.experiment, self.directory = experiment, directory
        self._strategy = strategy or default_strategy()
        self._at_once = at_once or default_at_once(experiment, self._strategy)
        self._share, self._stop, self._progress = share or Share(), stop, progress
        self._runners: dict[str, CellRunner] = {}

    def run(self, work: Work) -> None:
        """Runs the share's cells that are not finished.

        Raises:
          UnfinishedError: other shares have not run theirs yet.
          Stopped: it was asked to stop; the states are saved.
          ValueError: another process runs one of the cells.
          OSError: a file cannot be read or written; one line.
        """
        left = unfinished(self, work)
        self._progress.begin(work, finished=len(work.cells) - len(left))
        mine = set(self._share.pick(work.cells))
        if mine & set(left):
            self._runner(work).run(work._replace(cells=tuple(c for c in work.cells if c in mine)))
        others = unfinished(self, work)
        if others:
            raise UnfinishedError(f"{work.name}: {len(others)} cells of other shares are left")

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
    """Cells that are trained together: one on a CPU device, and of streamed data; else 8 a device.

    On the CPU a network keeps the cores busy by itself (see ``benchmarks/replicas.py``).
    """
    if not isinstance(experiment.data, DeviceData) or strategy == "map":
        return 1
    return 8


def unfinished(launcher: Launcher, work: Work) -> list[Cell]:
    """The cells of a work that have not reached their end."""
    experiment = launcher.experiment
    return [c for c in work.cells if not is_finished(launcher.directory, work, c, experiment)]


def outcomes(launcher: Launcher, work: Work) -> Iterator[tuple[Cell, Outcome]]:
    """What each cell of a work has reached."""
    for cell in work.cells:
        yield cell, read_cell(launcher.directory, work, cell, launcher.experiment)
