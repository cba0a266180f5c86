"""What an Oracle search has chosen earlier, for the page of tuned bounds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.oracle.numbers import Floats, Share, share_inside
from silo_jax.reporting.reading import Columns, read_object

_COLUMNS = ("cycle", "max_lr", "low", "high")


class EarlierOracle(NamedTuple):
    """An Oracle's choices, and the S-curve at the same cycles.

    Attributes:
        choices: Columns ``cycle``, ``max_lr``, ``low`` and ``high``; NaN where nothing was chosen.
        curve: max_lr of the S-curve, one a choice.
    """

    choices: Columns
    curve: Floats

    @property
    def factor(self) -> float:
        """By what factor the curve is off on average: 10 to the mean of |log₁₀(curve / max_lr)|."""
        ratios = self.curve / self.choices["max_lr"]
        ratios = ratios[np.isfinite(ratios)]
        return float(10 ** np.abs(np.log10(ratios)).mean()) if ratios.size else np.nan

    @property
    def share(self) -> Share:
        """In how many cycles the curve lies inside the Oracle interval."""
        return share_inside(self.curve, self.choices["low"], self.choices["high"])


def read_earlier(path: Path) -> EarlierOracle | None:
    """Reads and checks oracle.json, if there is one.

    Raises:
        ValueError: If it is malformed; one line that names the file.
    """
    if not path.exists():
        return None
    record = read_object(path)
    rows, curve = record.get("choices"), record.get("curve")
    if not isinstance(rows, list) or not rows or not all(_is_choice(row) for row in rows):
        allowed = f"objects with the numbers {', '.join(_COLUMNS)}, all but the first may be null"
        raise ValueError(f"{path}: choices is {rows!r}; allowed: {allowed}")
    cycles = [row["cycle"] for row in rows]
    if not isinstance(curve, list) or not all(_is_number(value) for value in curve):
        raise ValueError(f"{path}: curve is {curve!r}; allowed: a list of numbers")
    if cycles != list(range(len(cycles))) or len(curve) < len(cycles):
        allowed = "0, 1, … without a gap, none beyond the curve"
        raise ValueError(f"{path}: cycle is {cycles}; allowed: {allowed}")
    columns: dict[str, NDArray[Any]] = {
        name: np.array([row[name] for row in rows], float) for name in _COLUMNS
    }
    return EarlierOracle(columns, np.array(curve[: len(rows)], float))


def _is_choice(row: Any) -> bool:
    if not isinstance(row, Mapping) or not isinstance(row.get("cycle"), int):
        return False
    return all(row.get(name) is None or _is_number(row[name]) for name in _COLUMNS[1:])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
