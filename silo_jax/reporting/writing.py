"""Writes tables of numbers as CSV files."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from silo_jax.files import write_csv


def write_numbers(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a CSV file whole or not at all.

    Args:
        path: The file.
        columns: Their order.
        rows: What they hold, written with ten digits; a NaN, or a column that a row lacks, is an
            empty field.
    """
    write_csv(path, columns, [{name: _field(value) for name, value in row.items()} for row in rows])


def _field(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.10g}"
