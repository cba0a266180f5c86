"""Reads and checks files of results: text, JSON objects, tables."""

import csv
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Columns = Mapping[str, NDArray[Any]]

_EMPTY: Mapping[type, Any] = {float: math.nan, str: ""}


def read_text(path: Path) -> str:
    """Reads a text file that is not blank.

    Raises:
        ValueError: If there is none; one line that names the file, as all errors here.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ValueError(f"{path}: cannot be read ({reason})") from error
    if not text.strip():
        raise ValueError(f"{path}: is empty")
    return text


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ValueError: If the file is missing or holds something else.
    """
    return _parse_object(read_text(path), str(path))


def read_config(path: Path) -> dict[str, Any]:
    """Reads an experiment's config.

    Raises:
        ValueError: If the file is missing, or lacks a field that every report needs.
    """
    config = read_object(path)
    required = ("data.name", "model.name", "schedule.name", "pruning.num_cycles")
    for name in (*required, "pruning.fraction", "seeds"):
        value: Any = config
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise ValueError(f"{path}: no field {name!r}")
            value = value[part]
        if name.startswith("pruning.") and not isinstance(value, int | float):
            raise ValueError(f"{path}: {name} is {value!r}, not a number")
        if name == "seeds" and not (
            isinstance(value, list) and value and all(isinstance(seed, int) for seed in value)
        ):
            raise ValueError(f"{path}: seeds is {value!r}, not a list of integers")
    return config


def read_environment(path: Path) -> dict[str, str]:
    """Reads the facts about software and hardware."""
    return {name: str(value) for name, value in read_object(path).items()}


def no_rows(kinds: Mapping[str, type]) -> Columns:
    """A table without rows."""
    return {name: np.array([], kind) for name, kind in kinds.items()}


def has_rows(path: Path) -> bool:
    """Whether there is a CSV file with a whole line below its header."""
    return path.exists() and path.read_text(errors="replace").count("\n") > 1


def read_jsonl(path: Path, kinds: Mapping[str, type], key: Sequence[str]) -> Columns:
    """Reads a table to which lines are added, a JSON object each; see `read_csv`."""
    lines = enumerate(_whole_lines(path), start=1)
    records = (
        (number, _parse_object(line, f"{path} line {number}")) for number, line in lines if line
    )
    return _columns(path, records, kinds, key)


def read_csv(
    path: Path,
    kinds: Mapping[str, type],
    key: Sequence[str],
    optional: Collection[str] = (),
    *,
    may_be_empty: bool = False,
    grows: bool = False,
) -> Columns:
    """Reads a table.

    Args:
        path: A CSV file with a header; columns that are not asked for are passed over.
        kinds: The columns, and whether they hold int, float or str.
        key: Columns that tell rows apart. Of rows with the same key the last one counts.
        optional: Columns of float or str whose fields may be empty: NaN, or "".
        may_be_empty: Whether it may be a header alone.
        grows: Whether lines are added to it, so that a last one without an end is being written.

    Returns:
        The columns, rows in the order of the integers in the key. Numbers that are not finite are
        NaN.

    Raises:
        ValueError: If the file is missing, has no rows, lacks a column, or has a field that is not
            what the column holds; one line that names file, line and column.
    """
    reader = csv.DictReader(_whole_lines(path) if grows else read_text(path).splitlines())
    missing = [name for name in kinds if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}")
    records = ((reader.line_num, record) for record in reader)
    return _columns(path, records, kinds, key, optional, may_be_empty=may_be_empty)


def _whole_lines(path: Path) -> list[str]:
    """The lines of a file to which lines are added, but for one that is just being written."""
    text = read_text(path)
    return text[: text.rfind("\n") + 1].splitlines()


def check(path: Path, table: Columns, column: str, good: ArrayLike, allowed: str) -> None:
    """Refuses a table with a wrong value.

    Args:
        path: The table's file.
        table: The table.
        column: The column that was looked at.
        good: Shape (rows,), whether each row is right.
        allowed: What would be.

    Raises:
        ValueError: If a row is wrong.
    """
    wrong = table[column][~np.asarray(good, bool)]
    if wrong.size:
        raise ValueError(f"{path}: {column} is {wrong[0]}; allowed: {allowed}")


def _parse_object(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: is not valid JSON ({error.msg})") from error
    if type(value) is not dict:
        raise ValueError(f"{place}: is not a JSON object")
    return value


def _columns(
    path: Path,
    records: Iterable[tuple[int, Mapping[str, Any]]],
    kinds: Mapping[str, type],
    key: Sequence[str],
    optional: Collection[str] = (),
    *,
    may_be_empty: bool = False,
) -> Columns:
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line, record in records:
        row = {}
        for name, kind in kinds.items():
            try:
                value = record.get(name)
                is_empty = value == "" and name in optional
                row[name] = _EMPTY[kind] if is_empty else _parse(value, kind)
            except (TypeError, ValueError) as error:
                wanted = {int: "an integer", float: "a number", str: "a name"}[kind]
                found = repr(record.get(name))
                message = f"{path} line {line}: {name} is {found}, not {wanted}"
                raise ValueError(message) from error
        rows[tuple(row[name] for name in key)] = row
    if not rows and not may_be_empty:
        raise ValueError(f"{path}: has no rows")
    ordered = sorted(rows.values(), key=lambda row: [row[k] for k in key if kinds[k] is int])
    return {name: np.array([row[name] for row in ordered], kind) for name, kind in kinds.items()}


def _parse(value: Any, kind: type) -> int | float | str:
    if kind is str:
        if not isinstance(value, str) or not value:
            raise ValueError("empty")
        return value
    number = float(value)
    if kind is int:
        if not number.is_integer():
            raise ValueError("not an integer")
        return int(number)
    return number if math.isfinite(number) else math.nan
