"""Runs an experiment whose disk fails while a chosen file is written.

    python -m tests.failing_run FAULT PATH COUNT --config=… --workdir=…

The fault, one of `FAULTS`, begins when a file or folder with PATH in its name is opened for writing
or made for the COUNT-th time, and stays until the process ends.
"""

import os
import resource
import runpy
import sys
from pathlib import Path
from typing import Any

ROOM = 3  # bytes by which a file still grows when the disk is full


def fill_disk(file: Path, workdir: Path) -> None:
    """The file is cut off soon, and so is every other."""
    size = file.stat().st_size if file.is_file() else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + ROOM, resource.RLIM_INFINITY))


def lose_permission(file: Path, workdir: Path) -> None:
    """Nothing in the directory can be written any more."""
    for path in [workdir, *workdir.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.getuid() == 0:
        os.setuid(65534)  # permissions do not stop root


def restore_permission(workdir: Path) -> None:
    for path in [workdir, *workdir.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)


FAULTS = {"full": fill_disk, "read-only": lose_permission}


class Fault:
    """An audit hook, which Python calls before it opens a file or makes a folder."""

    def __init__(self, name: str, part: str, count: int, workdir: Path) -> None:
        self._begin, self._part, self._left, self._workdir = FAULTS[name], part, count, workdir

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._left and self._is_met(event, arguments):
            self._left -= 1
            if not self._left:
                self._begin(Path(arguments[0]), self._workdir)

    def _is_met(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR)
        else:
            path, writes = arguments[0] if event == "os.mkdir" else None, True
        return bool(isinstance(path, str) and self._part in path and writes)


if __name__ == "__main__":
    fault, part, count, *flags = sys.argv[1:]
    (workdir,) = (Path(flag.partition("=")[2]) for flag in flags if flag.startswith("--workdir="))
    sys.argv[1:] = flags
    sys.addaudithook(Fault(fault, part, int(count), workdir))
    runpy.run_module("experiments.run", run_name="__main__")
