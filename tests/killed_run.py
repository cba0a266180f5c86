"""Runs an experiment and kills its own process, with SIGKILL, in the middle of a chosen phase.

    python -m tests.killed_run PHASE COUNT --config=… --workdir=…

kills when the phase is met for the COUNT-th time. Phases are those of `PHASES`.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from silo_jax import checkpoint
from silo_jax.checkpoint import Checkpoints
from silo_jax.cli.run import main
from silo_jax.reporting import page
from silo_jax.training import results
from silo_jax.training.in_memory import InMemoryEpochs


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(owner: Any, name: str, count: int, act: Callable) -> None:
    """Has the COUNT-th call of a function go to ``act(original, *args)`` instead."""
    original, calls = getattr(owner, name), []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == count:
            return act(original, *args, **kwargs)
        return original(*args, **kwargs)

    setattr(owner, name, counted)


def before(original: Callable, *args: Any, **kwargs: Any) -> None:
    kill()


def after(original: Callable, *args: Any, **kwargs: Any) -> None:
    original(*args, **kwargs)
    kill()


def during(original: Callable, *args: Any, **kwargs: Any) -> None:
    threading.Timer(0.003, kill).start()
    original(*args, **kwargs)
    kill()


def half_a_line(original: Callable, path: Path, text: str) -> None:
    original(path, text[: len(text) // 2])
    kill()


def half_a_file(original: Callable, path: Path, text: str | bytes) -> None:
    part = (text.encode() if isinstance(text, str) else text)[: len(text) // 2]
    path.with_name(f".{path.name}.{os.getpid()}.tmp").write_bytes(part)
    kill()


PHASES = {
    "training": (InMemoryEpochs, "train", during),
    "pruning": (InMemoryEpochs, "train", after),  # done with the last step, and not yet saved
    "evaluation": (InMemoryEpochs, "evaluate", during),
    "metrics line": (results, "append_text", half_a_line),
    "result file": (results, "write_atomically", half_a_file),
    "checkpoint": (Checkpoints, "save", after),  # orbax is still writing it
    "checkpoints closing": (Checkpoints, "close", before),
    "rewind point": (checkpoint, "write_checksums", before),  # of the rewind point first
    "rewinding": (Checkpoints, "restore_rewind_point", during),
    "report": (page, "write_atomically", half_a_file),
}

if __name__ == "__main__":
    phase, count, *flags = sys.argv[1:]
    owner, name, act = PHASES[phase]
    on_call(owner, name, int(count), act)
    main([sys.argv[0], *flags])
