"""What a run shows while it goes on: a live bar on a terminal, a line a cycle elsewhere."""

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
from rich.text import Text


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
