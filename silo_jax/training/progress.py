"""What a run shows while it goes on: a live bar on a terminal, a line a cycle elsewhere."""

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


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
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("compiling", total=total_epochs)

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def skip(self, epochs: int) -> None:
        """Counts epochs that an earlier session has done."""
        self._bar.advance(self._task, epochs)

    def epoch(self, row: dict[str, Any]) -> None:
        """Shows a line of ``metrics.jsonl``."""
        self._bar.update(self._task, advance=1, description=self._line(row))

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
            f"epoch {row['epoch']} · loss {row['train_loss']:.3f} · val {row['val_accuracy']:.1f} %"
            f" · lr {row['lr']:.2g} · density {100 * row['density']:.1f} %"
        )
