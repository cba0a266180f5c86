"""A schedule at a glance: a table with a row a cycle, and a picture."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from silo_jax.checks import require_int
from silo_jax.schedules.arguments import require_schedule
from silo_jax.schedules.steps import cycle_lengths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEADS = ("cycle", "first step", "steps", "first lr", "max_lr", "at step", "last lr")
_NUM_BUCKETS = 1000
_MANY_CYCLES = 50
# Blue and vermilion differ in lightness too, and stay apart in grey print.
_LR, _PEAK, _GREY, _FAINT = "#0072B2", "#D55E00", "#6b6b6b", "#d9d9d9"


class CycleRow(NamedTuple):
    """What the learning rate does in one cycle, found from its values.

    Attributes:
      cycle: index of the cycle, from 0.
      first_step: step at which the cycle starts, from 0.
      steps: number of steps in the cycle.
      first_lr: learning rate at the first step.
      max_lr: largest learning rate that is reached.
      max_lr_step: first step at which it is, counted from 0 over all cycles.
      last_lr: learning rate at the last step.
    """

    cycle: int
    first_step: int
    steps: int
    first_lr: float
    max_lr: float
    max_lr_step: int
    last_lr: float


@dataclass(frozen=True, eq=False)
class ScheduleReport:
    """The values of a schedule, cycle by cycle.

    ``str(report)`` is a table, ``report.figure()`` a matplotlib figure, and a notebook shows both.

    Attributes:
      rows: one `CycleRow` a cycle.
      lr: the learning rate at every step, shape ``(num_steps,)``.
    """

    rows: tuple[CycleRow, ...]
    lr: NDArray[np.floating] = field(repr=False)

    def __str__(self) -> str:
        table = [_HEADS, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in table
        )

    def figure(self) -> "Figure":
        """Draws the learning rate against the step, with the peak of every cycle.

        Returns:
          A matplotlib figure, which owes nothing to pyplot: ``figure.savefig("lr.png")`` keeps it.
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(9, 4), dpi=110, layout="constrained")
        axes = figure.add_subplot()
        drawn = _drawn_steps(self.lr)
        axes.plot(drawn, self.lr[drawn], color=_LR, linewidth=1.2, label="learning rate")
        axes.plot(
            [row.max_lr_step for row in self.rows],
            [row.max_lr for row in self.rows],
            color=_PEAK,
            linestyle=(0, (2, 2)),
            linewidth=1,
            marker="o",
            markersize=5 if len(self.rows) <= _MANY_CYCLES else 2.5,
            label="max_lr of each cycle",
        )
        axes.set(xlabel="step", ylabel="learning rate")
        axes.set_xlim(0, max(self.lr.size - 1, 1))
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=_FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        _mark_cycles(axes, self.rows)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return figure

    def _repr_html_(self) -> str:
        image = io.BytesIO()
        self.figure().savefig(image, format="png")
        picture = base64.b64encode(image.getvalue()).decode()
        lines = [
            "".join(f'<td style="text-align: right">{cell}</td>' for cell in _cells(row))
            for row in self.rows
        ]
        heads = "".join(f"<th>{head}</th>" for head in _HEADS)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return (
            f'<img alt="learning rate against step" src="data:image/png;base64,{picture}"/>'
            f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        )


def report_schedule(
    schedule: optax.Schedule,
    *,
    steps_per_cycle: int | Sequence[int],
    num_cycles: int | None = None,
) -> ScheduleReport:
    """Evaluates a schedule at every step of its cycles and sums up what it does in each.

    All is read off the values, so any optax schedule that can be traced can be reported. The steps
    are evaluated in one batched call, with a few bytes of memory for each.

    Args:
      schedule: any optax schedule, counted from step 0.
      steps_per_cycle: steps in a cycle, at least 1; one number, or one a cycle.
      num_cycles: number of cycles, at least 1; by default as many as steps_per_cycle has numbers.

    Returns:
      A `ScheduleReport`: print it, draw its ``figure()``, or leave it at the end of a notebook's
      cell.

    Raises:
      ValueError: an argument is out of its range, or num_cycles and steps_per_cycle disagree.

    Example:
      >>> from silo_jax import cycle_schedule, report_schedule, shapes
      >>> shape = shapes.warmup_step_decay(warmup_steps=10, drop_steps=(60, 80))
      >>> schedule = cycle_schedule(shape, peaks=[0.1, 0.2], steps_per_cycle=100)
      >>> print(report_schedule(schedule, steps_per_cycle=100, num_cycles=2))
      cycle  first step  steps  first lr  max_lr  at step  last lr
          0           0    100         0     0.1       10    0.001
          1         100    100         0     0.2      110    0.002
    """
    require_schedule("schedule", schedule)
    if num_cycles is None:
        num_cycles = np.size(steps_per_cycle)
    require_int("num_cycles", num_cycles, minimum=1)
    lengths = cycle_lengths(steps_per_cycle, num_cycles)
    lr = np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(lengths.sum())))
    if lr.ndim != 1:
        raise ValueError(f"schedule: gives shape {lr.shape[1:]}; allowed: a scalar for a step")
    ends = np.cumsum(lengths).tolist()
    return ScheduleReport(
        tuple(_row(cycle, lr, *edges) for cycle, edges in enumerate(pairwise([0, *ends]))), lr
    )


def _row(cycle: int, lr: NDArray[np.floating], start: int, end: int) -> CycleRow:
    peak = start + int(lr[start:end].argmax())
    first_lr, max_lr, last_lr = lr[[start, peak, end - 1]].tolist()
    return CycleRow(cycle, start, end - start, first_lr, max_lr, peak, last_lr)


def _cells(row: CycleRow) -> list[str]:
    return [f"{value:.4g}" if isinstance(value, float) else f"{value:,}" for value in row]


def _drawn_steps(lr: NDArray[np.floating]) -> NDArray[np.int64]:
    """The first, last, lowest and highest step of every bucket: the same picture, fewer points."""
    edges = np.unique(np.linspace(0, lr.size, _NUM_BUCKETS + 1).astype(int)).tolist()
    drawn: set[int] = set()
    for start, end in pairwise(edges):
        bucket = lr[start:end]
        drawn |= {start, start + int(bucket.argmin()), start + int(bucket.argmax()), end - 1}
    return np.array(sorted(drawn))


def _mark_cycles(axes: "Axes", rows: Sequence[CycleRow]) -> None:
    """Lines between cycles, unless there are many, and as many numbers as there is room for."""
    if len(rows) <= _MANY_CYCLES:
        for row in rows[1:]:
            axes.axvline(row.first_step, color=_FAINT, linewidth=0.8, zorder=0.5)
    num_steps = rows[-1].first_step + rows[-1].steps
    numbered: list[tuple[float, str]] = []
    for row in rows:
        middle = row.first_step + (row.steps - 1) / 2
        if not numbered or middle - numbered[-1][0] > 0.035 * num_steps:
            numbered.append((middle, str(row.cycle)))
    top = axes.secondary_xaxis("top")
    top.set_xticks(*zip(*numbered, strict=True))
    top.tick_params(length=0, labelcolor=_GREY)
    top.spines[:].set_visible(False)
    top.set_xlabel("cycle", color=_GREY)
