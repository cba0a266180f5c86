"""Checksums of the files in a directory, by which damage to any of them is found."""

import hashlib
import json
from pathlib import Path

FILE_NAME = "checksums.json"


def write_checksums(directory: Path) -> None:
    """Writes the checksum of every file in the directory, at any depth, into ``checksums.json``.

    Raises:
      OSError: a file cannot be read, or the checksums cannot be written.
    """
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    checksums = {path.relative_to(directory).as_posix(): _checksum(path) for path in files}
    (directory / FILE_NAME).write_text(json.dumps(checksums, indent=1))


def find_damage(directory: Path) -> str | None:
    """What is wrong with the first file that is not as it was when the checksums were written.

    Returns:
      One line, as ``"manifest.ocdbt is missing"``, or None when every file is as it was. Files that
      were added later are not looked at.

    Raises:
      OSError: a file that is there cannot be read; that is not damage.
    """
    try:
        checksums = json.loads((directory / FILE_NAME).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return f"{FILE_NAME} is missing"
    except ValueError:
        return f"{FILE_NAME} is damaged"
    if not isinstance(checksums, dict) or not checksums:
        return f"{FILE_NAME} is damaged"
    for name, checksum in checksums.items():
        if not (directory / name).is_file():
            return f"{name} is missing"
        if _checksum(directory / name) != checksum:
            return f"{name} is damaged"
    return None


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
