"""What a run shows while it goes on: a live bar on a terminal, a line a cycle elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from silo_jax.training.cells import Cell, Work

_MOST_SHOWN = 16


class RunProgress:
    """Shows seed, cycle, epoch, loss, accuracy, lr, density and the time left."""

    def __init__(self, console: Console, *, total_epochs: int, num_cycles: int) -> None:
        """Args:
        console: where to show it.
        total_epochs: epochs of all cycles and seeds.
        num_cycles: cycles of one seed.
        """
        self._console = console
        self._num_cycles = num_cycles
        self._epochs: dict[int, int] = {}
        self._status = Text("compiling")
        self._bar = Progress(
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("epochs ·"),
            TimeElapsedColumn(),
            TextColumn("·"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._task = self._bar.add_task("", total=total_epochs)
        self._live = Live(Group(self._status, self._bar), console=console)

    def __enter__(self) -> "RunProgress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def resume(self, seed: int, epochs: int) -> None:
        """Sets how many epochs a seed has done: in an earlier session, or before it went back."""
        self._epochs[seed] = epochs
        self._bar.update(self._task, completed=sum(self._epochs.values()))

    def epoch(self, row: dict[str, Any]) -> None:
        """Shows a line of ``metrics.jsonl``."""
        self._status.plain = self._line(row)
        self.resume(row["seed"], self._epochs.get(row["seed"], 0) + 1)

    def cycle(self, row: dict[str, Any]) -> None:
        """Notes a finished cycle, a row of ``cycles.csv``, where no bar is shown."""
        if not self._console.is_terminal:
            self._console.print(
                f"seed {row['seed']}  cycle {row['cycle']}/{self._num_cycles - 1}  "
                f"density {100 * row['density']:.2f} %  max_lr {row['max_lr']:.4g}  "
                f"loss {row['train_loss']:.4f}  val {row['val_accuracy']:.2f} %  "
                f"test {row['test_accuracy']:.2f} %  {row['seconds']:.1f} s",
                highlight=False,
                soft_wrap=True,
            )

    def _line(self, row: dict[str, Any]) -> str:
        return (
            f"seed {row['seed']} cycle {row['cycle']}/{self._num_cycles - 1} "
            f"epoch {row['epoch']} · loss {row['train_loss']:.3f} "
            f"· val {row['val_accuracy']:.1f} % · lr {row['lr']:.2g} "
            f"· density {100 * row['density']:.1f} %"
        )


class CellsProgress:
    """Shows how far each cell of a study is: live on a terminal, a line a cell elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, tuple[str, ...]] = {}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("cycles of cells ·"),
            TimeElapsedColumn(),
            TextColumn("·"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._task = self._bar.add_task("", total=None)
        self._live = Live(console=console, get_renderable=self._shown)

    def __enter__(self) -> "CellsProgress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, works: Sequence[Work], left: Sequence[tuple[Work, Cell]]) -> None:
        """Starts to show works, of whose cells some are left to run."""
        self._rows.clear()
        cells = [cell for work in works for cell in work.cells]
        total, to_do = _num_cycles(cells), _num_cycles([cell for _, cell in left])
        names = [work.name for work in works]
        shown = " … ".join(dict.fromkeys((*names[:1], *names[-1:])))
        self._bar.update(self._task, description=shown, total=total, completed=total - to_do)

    def resume(self, num_cycles: int) -> None:
        """Counts the cycles that cells had finished before they were stopped."""
        self._bar.advance(self._task, num_cycles)

    def epoch(self, work: Work, cell: Cell, row: dict[str, Any]) -> None:
        """Shows a line of a cell's ``metrics.jsonl``."""
        self._show(
            work,
            cell,
            f"cycle {row['cycle']}/{cell.end_cycle - 1}",
            f"density {100 * row['density']:.2f} %",
            f"max_lr {row['max_lr']:.4g}",
            f"val {row['val_accuracy']:.2f} %",
        )
        if row["ends_cycle"]:
            self._bar.advance(self._task)
            if row["cycle"] + 1 == cell.end_cycle:
                self._tell(work, cell)

    def diverged(self, work: Work, cell: Cell, cycle: int) -> None:
        """Notes that a cell was given up."""
        self._show(work, cell, f"cycle {cycle}/{cell.end_cycle - 1}", "diverged", "", "")
        self._bar.advance(self._task, cell.end_cycle - cycle)
        self._tell(work, cell)

    def _show(self, work: Work, cell: Cell, *texts: str) -> None:
        name = f"{work.name}/{cell.name}"
        self._rows.pop(name, None)
        self._rows[name] = texts

    def _tell(self, work: Work, cell: Cell) -> None:
        if not self._console.is_terminal:
            name = f"{work.name}/{cell.name}"
            texts = "  ".join(text for text in self._rows[name] if text)
            self._console.print(f"{name}  {texts}", highlight=False, soft_wrap=True)

    def _shown(self) -> Group:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, texts in list(self._rows.items())[-_MOST_SHOWN:]:
            table.add_row(name, *texts)
        return Group(table, self._bar)


def _num_cycles(cells: Sequence[Cell]) -> int:
    return sum(cell.end_cycle - cell.first_cycle for cell in cells)
