"""The lines of a figure as numbers: the file, the picture and the page draw the same ones."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from silo_jax.reporting.aggregate import OverSeeds, Present

Row = Mapping[str, Any]


class Numbers(NamedTuple):
    """What a figure draws, for a CSV file: its columns, and a row a point."""

    columns: Sequence[str]
    rows: Sequence[Row]


class Line(NamedTuple):
    """A line of a figure.

    Attributes:
        name: What its legend says.
        x: Shape (points,).
        y: Shape (points,), NaN for a gap.
        low: Lower end of the band or error bar; None without one.
        high: Its upper end.
        told: Further columns of the file, each one value or one a point.
    """

    name: str
    x: NDArray[Any]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    told: Mapping[str, Any] = {}


def mean_line(name: str, x: ArrayLike, stats: OverSeeds | Present, **told: Any) -> Line:
    """Makes the line of a mean with a band of ± one sample standard deviation.

    Args:
        name: What its legend says.
        x: Shape (points,).
        stats: Of each point.
        **told: Further columns of the file.
    """
    ends = stats.mean - stats.std, stats.mean + stats.std
    return Line(name, np.asarray(x), stats.mean, *ends, {**told, "seeds": stats.seeds})


def line_numbers(lines: Sequence[Line], *, name: str, x: str, y: str) -> Numbers:
    """Lists lines in long format, a row a point; what is not finite is an empty field.

    Args:
        lines: All with the same further columns.
        name: The column of their names.
        x: The column of x.
        y: The column of y; its band is in ``low`` and ``high``.

    Example:
        >>> line = Line("silo", np.array([1.0]), np.array([97.5]), told={"cycle": [0]})
        >>> line_numbers([line], name="schedule", x="density", y="accuracy").rows
        [{'schedule': 'silo', 'cycle': 0, 'density': 1.0, 'accuracy': 97.5}]
    """
    rows = []
    for line in lines:
        columns = {name: line.name, **line.told, x: line.x, y: line.y}
        if line.low is not None:
            columns |= {"low": line.low, "high": line.high}
        shape = line.x.shape
        table = {key: np.broadcast_to(value, shape).tolist() for key, value in columns.items()}
        rows += [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    columns_of_all = dict.fromkeys(column for row in rows for column in row)
    return Numbers(list(columns_of_all), rows)


def draw_line(axes: Axes, line: Line, *, shade: float = 0.18, **look: Any) -> None:
    """Draws a line and its band with matplotlib.

    Args:
        axes: Where.
        line: What.
        shade: How strong the band is.
        **look: Of the line, as `matplotlib.axes.Axes.plot` has it.
    """
    defaults: dict[str, Any] = {"label": line.name, "markersize": 5}
    axes.plot(line.x, line.y, **(defaults | look))
    if line.low is not None and line.high is not None:
        band = {"color": look["color"], "alpha": shade, "linewidth": 0}
        axes.fill_between(line.x, line.low, line.high, **band)
