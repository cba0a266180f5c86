"""Writing to files so that a crash or a full disk costs no more than what is written just now."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all: a reader meets the old content or the new.

    Raises:
      OSError: one line that names the file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _naming(path):
        try:
            with temporary.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def append_text(path: Path, text: str) -> None:
    """Adds to the end of a file, and waits until it is on the disk.

    Raises:
      OSError: one line that names the file, to which a part of the text may have been added.
    """
    with _naming(path), path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Puts the file's name into errors, which those of writing lack."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
