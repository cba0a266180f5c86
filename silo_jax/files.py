"""Writing to files so that a crash or a full disk costs no more than what is written just now."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all: a reader meets the old content or the new.

    Raises:
      OSError: one line that names the file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        try:
            with temporary.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Writes what JSON can hold, as `write_atomically`.

    Raises:
      OSError: one line that names the file.
    """
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a table, as `write_atomically`; what a row lacks is left empty, what else it has out.

    Raises:
      OSError: one line that names the file.
    """
    chosen = [{name: row.get(name) for name in columns} for row in rows]
    write_atomically(path, csv_text(columns, chosen, header=True))


def csv_text(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, header: bool = False
) -> str:
    """The lines of a table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def append_text(path: Path, text: str) -> None:
    """Adds to the end of a file, and waits until it is on the disk.

    Raises:
      OSError: one line that names the file, to which a part of the text may have been added.
    """
    with naming(path), path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name into errors, which those of writing lack."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
