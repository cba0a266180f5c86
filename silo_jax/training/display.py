"""A live table with a bar below it on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from silo_jax.training.pace import told

_MOST_ROWS = 16
_BAR_WIDTH = 20


class Display:
    """What is common to the displays of runs and of cells.

    It is drawn by a thread of its own, from what was told last: the training waits for nothing.
    What the thread reads is replaced, never changed.
    """

    def __init__(
        self, console: Console, headers: Sequence[str], clock: Callable[[], float]
    ) -> None:
        """Args:
        console: where to show it; a quiet one shows nothing.
        headers: of the table; the first column has the names of its rows.
        clock: seconds.
        """
        self._console, self._headers, self._clock = console, headers, clock
        self._started = clock()
        self._rows: dict[str, tuple[str, ...]] = {}
        self.is_live = console.is_interactive and not console.quiet
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._started = self._clock()
        if self.is_live:
            self._live = Live(
                console=self._console, get_renderable=self._drawn, refresh_per_second=2
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def _show(self, name: str, *texts: str) -> None:
        """Shows a row of the table, below all others."""
        self._rows = {key: row for key, row in self._rows.items() if key != name} | {name: texts}

    def _say(self, line: str) -> None:
        """Prints a line, where there is no live display."""
        if not self.is_live:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _reached(self) -> tuple[float, float, str, str]:
        """How much is done, of how much, in words, and what is left of the time."""
        raise NotImplementedError

    def _drawn(self) -> Group:
        done, total, words, left = self._reached()
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(total, 1), completed=done, width=_BAR_WIDTH)
        elapsed = told(int(self._clock() - self._started))
        line.add_row(bar, Text(f"{words} · {elapsed} · {left}", no_wrap=True, overflow="ellipsis"))
        if not self._rows:
            return Group(Text("preparing" if done < total else "nothing is left to train"), line)
        return Group(self._table(), line)

    def _table(self) -> Table:
        rows = list(self._rows.items())[-min(_MOST_ROWS, max(1, self._console.height - 3)) :]
        table = Table(box=None, pad_edge=False, header_style="dim")
        first, *others = self._headers
        table.add_column(first, no_wrap=True, overflow="ellipsis")
        for header in others:
            table.add_column(header, justify="right", no_wrap=True)
        for name, texts in rows:
            table.add_row(Text(name), *texts)
        return table


def number(row: Mapping[str, Any], name: str, form: str) -> str:
    """A number of a row in a format, a dash where the row has none.

    Example:
      >>> number({"lr": 0.05}, "lr", ".3f"), number({}, "lr", ".3f")
      ('0.050', '–')
    """
    return format(row[name], form) if name in row else "–"
