"""What a run or a study shows while it goes on, and how long it will take."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

import numpy as np
from rich.console import Console

from silo_jax.training.cells import Cell, Row, Work
from silo_jax.training.display import Display, number
from silo_jax.training.experiment import Experiment
from silo_jax.training.pace import Pace, told
from silo_jax.training.state import Look, Sums

_SECONDS_BETWEEN_LOOKS = 1.0  # at the training
_SECONDS_BETWEEN_LINES = 60.0  # within a cycle, where lines are printed


class RunProgress(Display):
    """Shows each seed's cycle, epoch, losses and speed, and the time left of cycle and run.

    On a terminal it is a table with a row a seed. Elsewhere there is a line a cycle, and for long
    cycles a line a minute.
    """

    def __init__(
        self,
        console: Console,
        *,
        num_seeds: int,
        num_cycles: int,
        steps_per_cycle: int,
        steps_per_epoch: int,
        batch_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        console: where to show it.
        num_seeds: trained one after the other.
        num_cycles: of one seed.
        steps_per_cycle: of one seed.
        steps_per_epoch: the last epoch of a cycle may have fewer.
        batch_size: images in a step.
        clock: seconds.
        """
        headers = ("seed", "cycle", "epoch", "loss", "train %", "val %", "lr", "density")
        super().__init__(console, (*headers, "images/s"), clock)
        self._num_seeds, self._num_cycles = num_seeds, num_cycles
        self._steps_per_cycle, self._steps_per_epoch = steps_per_cycle, steps_per_epoch
        self._epochs_per_cycle = -(-steps_per_cycle // steps_per_epoch)
        self._total, self._batch_size = num_seeds * num_cycles * steps_per_cycle, batch_size
        self._pace = Pace(clock)
        self._steps: dict[int, int] = {}  # by seed, up to the end of an epoch
        self._at = (0, 0)  # seed and step
        self._looked: tuple[float, int | None] = (clock(), None)  # when, at which step
        self._said = clock()
        self._last_rows: dict[int, Row] = {}

    @classmethod
    def of(cls, experiment: Experiment, num_cycles: int, console: Console) -> Self:
        """That of an experiment's seeds, through so many cycles."""
        return cls(
            console,
            num_seeds=len(experiment.config.seeds),
            num_cycles=num_cycles,
            steps_per_cycle=experiment.lengths.steps_per_cycle,
            steps_per_epoch=experiment.steps_per_epoch,
            batch_size=experiment.config.training.batch_size,
        )

    def resume(self, seed: int, step: int) -> None:
        """Begins to measure: a seed goes on from a step, that of an earlier session or 0."""
        self._pace.start(step)
        self._be_at(seed, step)
        if self._last_rows.setdefault(seed, {}).get("step") != step:
            self._last_rows[seed] = {}
            self._show_seed(seed, self._position(step))

    def end(self, seed: int) -> None:
        """Notes that nothing is left to do for a seed: it is finished, or was given up."""
        total = self._num_cycles * self._steps_per_cycle
        if self._steps.get(seed, total) < total:
            self._show(str(seed), self._cycle_of(self._position(self._steps[seed])), "diverged")
        self._steps = self._steps | {seed: total}

    def watching(self, seed: int) -> Look | None:
        """What is told of an epoch as it goes on; None where it would not be shown."""
        return partial(self._look, seed) if self.is_live else None

    def epoch(self, row: Row) -> None:
        """Shows a line of ``metrics.jsonl``."""
        seed, step = row["seed"], row["step"]
        self._pace.reach(step)
        self._be_at(seed, step)
        self._last_rows[seed] = row
        self._show_seed(seed, row)
        ends_cycle = step % self._steps_per_cycle == 0
        if not ends_cycle and self._clock() - self._said >= _SECONDS_BETWEEN_LINES:
            lr = f"epoch {row['epoch']}/{self._epochs_per_cycle}  lr {row['lr']:.4g}"
            self._say_row(row, lr, "", self._left())

    def cycle(self, row: Row) -> None:
        """Notes a finished cycle, a row of ``cycles.csv``, where lines are printed."""
        test = f"  test {row['test_accuracy']:.2f} %  {row['seconds']:.1f} s"
        left = f"left: run {told(self._run_left())}"
        self._say_row(row, f"max_lr {row['max_lr']:.4g}", test, left)

    def _say_row(self, row: Row, lr: str, test: str, left: str) -> None:
        self._said = self._clock()
        speed = number(self._last_rows.get(row["seed"], {}), "images_per_second", "")
        self._say(
            f"seed {row['seed']}  cycle {self._cycle_of(row)}  "
            f"density {100 * row['density']:.2f} %  {lr}  loss {row['train_loss']:.4f}  "
            f"val {row['val_accuracy']:.2f} %{test}  {speed} images/s  {left}"
        )

    def _be_at(self, seed: int, step: int) -> None:
        self._at, self._steps = (seed, step), self._steps | {seed: step}
        self._looked = (self._clock(), None)

    def _look(self, seed: int, step: int, sums: Sums) -> None:
        """Shows an epoch that goes on, of which the sums so far have been waited for already."""
        now, (then, before) = self._clock(), self._looked
        if now - then < _SECONDS_BETWEEN_LOOKS:
            return
        self._pace.glimpse(step)
        self._at, self._looked = (seed, step), (now, step)
        loss, correct, examples = (np.asarray(value).item() for value in sums)
        row = self._position(step - 1) | {
            "train_loss": loss / examples,
            "train_accuracy": 100 * correct / examples,
        }
        if before is not None:
            row["images_per_second"] = round((step - before) * self._batch_size / (now - then))
        self._show_seed(seed, row)

    def _position(self, step: int) -> Row:
        """Cycle and epoch of a step, counted from 0; of the last one where all are done."""
        last = self._num_cycles * self._steps_per_cycle - 1
        cycle, step = divmod(min(step, last), self._steps_per_cycle)
        return {"cycle": cycle, "epoch": step // self._steps_per_epoch + 1}

    def _cycle_of(self, row: Row) -> str:
        return f"{row['cycle']}/{self._num_cycles - 1}"

    def _show_seed(self, seed: int, row: Row) -> None:
        last = self._last_rows[seed]
        if last.get("cycle") == row["cycle"]:
            row = last | row
        self._show(
            str(seed),
            self._cycle_of(row),
            f"{row['epoch']}/{self._epochs_per_cycle}",
            number(row, "train_loss", ".4f"),
            number(row, "train_accuracy", ".2f"),
            number(row, "val_accuracy", ".2f"),
            number(row, "lr", ".3g"),
            number(row, "density", ".2%"),
            number(row, "images_per_second", ","),
        )

    def _left(self) -> str:
        """The time left of the cycle in which the next step is, and of all."""
        (seed, step), per_cycle = self._at, self._steps_per_cycle
        cycle_end = min((step // per_cycle + 1) * per_cycle, self._num_cycles * per_cycle)
        cycle = self._pace.left(cycle_end - self._steps.get(seed, 0))
        return f"left: cycle {told(cycle)}, run {told(self._run_left())}"

    def _run_left(self) -> float | None:
        return self._pace.left(self._total - sum(self._steps.values()))

    def _reached(self) -> tuple[float, float, str, str]:
        seed, step = self._at
        ended = sum(self._num_epochs(done) for done in self._steps.values())
        epochs = self._num_seeds * self._num_cycles * self._epochs_per_cycle
        done = sum(self._steps.values()) + step - self._steps.get(seed, 0)
        return done, self._total, f"{ended}/{epochs} epochs", self._left()

    def _num_epochs(self, steps: int) -> int:
        cycles, rest = divmod(steps, self._steps_per_cycle)
        return cycles * self._epochs_per_cycle + rest // self._steps_per_epoch


class CellsProgress(Display):
    """Shows how far each cell of a study is, and the time left of all of them.

    On a terminal it is a table with a row a cell. Elsewhere there is a line a cell.
    """

    def __init__(
        self,
        console: Console,
        num_cycles: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        console: where to show it.
        num_cycles: of all cells of the study, at most; by default of those begun.
        clock: seconds.
        """
        super().__init__(console, ("cell", "cycle", "loss", "val %", "max_lr", "density"), clock)
        self._pace = Pace(clock)
        self._expected, self._begun, self._done = num_cycles, 0, 0

    def begin(self, works: Sequence[Work], left: Sequence[tuple[Work, Cell]]) -> None:
        """Adds works, of whose cells some are left to run."""
        begun = _num_cycles([cell for work in works for cell in work.cells])
        self._begun += begun
        self.resume(begun - _num_cycles([cell for _, cell in left]))

    def resume(self, num_cycles: int) -> None:
        """Begins to measure, after cycles that are not left, but took no time of this session."""
        self._done += num_cycles
        self._pace.start(self._done)

    def epoch(self, work: Work, cell: Cell, row: Row) -> None:
        """Shows a line of a cell's ``metrics.jsonl``."""
        name = f"{work.name}/{cell.name}"
        cycle = f"{row['cycle']}/{cell.end_cycle - 1}"
        density, max_lr = f"{100 * row['density']:.2f}", f"{row['max_lr']:.4g}"
        loss, accuracy = f"{row['train_loss']:.4f}", f"{row['val_accuracy']:.2f}"
        self._show(name, cycle, loss, accuracy, max_lr, f"{density}%")
        if row["ends_cycle"]:
            self._finish(1)
            if row["cycle"] + 1 == cell.end_cycle:
                self._say(
                    f"{name}  cycle {cycle}  density {density} %  max_lr {max_lr}  loss {loss}  "
                    f"val {accuracy} %  {self._left()}"
                )

    def diverged(self, work: Work, cell: Cell, cycle: int) -> None:
        """Notes that a cell was given up."""
        name, cycles = f"{work.name}/{cell.name}", f"{cycle}/{cell.end_cycle - 1}"
        self._show(name, cycles, "diverged")
        self._finish(1)
        self.resume(cell.end_cycle - cycle - 1)
        self._say(f"{name}  cycle {cycles}  diverged  {self._left()}")

    def _finish(self, num_cycles: int) -> None:
        self._done += num_cycles
        self._pace.reach(self._done)

    def _total(self) -> int:
        return max(self._expected, self._begun)

    def _left(self) -> str:
        return f"left: {told(self._pace.left(self._total() - self._done))}"

    def _reached(self) -> tuple[float, float, str, str]:
        words = f"{self._done}/{self._total()} cycles of cells"
        return self._done, self._total(), words, self._left()


def _num_cycles(cells: Sequence[Cell]) -> int:
    return sum(cell.end_cycle - cell.first_cycle for cell in cells)
