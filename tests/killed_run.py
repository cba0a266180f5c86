"""Runs an experiment and kills its own process, with SIGKILL, in the middle of a chosen phase.

    python -m tests.killed_run PHASE COUNT --config=… --workdir=…

kills when the phase is met for the COUNT-th time. Phases are those of `PHASES`.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.run import main
from silo_jax import reporting
from silo_jax.checkpoint import Checkpoints
from silo_jax.training import loop, results


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


def half_a_line(original: Callable, path: Path, text: str) -> None:
    original(path, text[: len(text) // 2])
    kill()


def half_a_file(original: Callable, path: Path, text: str) -> None:
    path.with_name(f".{path.name}.{os.getpid()}").write_text(text[: len(text) // 2])
    kill()


PHASES = {
    "training": (loop.Programs, "train", before),
    "evaluation": (loop.Programs, "evaluate", before),
    "metrics line": (results, "append_text", half_a_line),
    "result file": (results, "write_atomically", half_a_file),
    "checkpoint": (Checkpoints, "save", after),  # orbax is still writing it
    "checkpoints closing": (Checkpoints, "close", before),
    "rewind point": (Checkpoints, "save_rewind_point", after),
    "rewinding": (Checkpoints, "restore_rewind_point", before),
    "report": (reporting, "write_report", before),
}

if __name__ == "__main__":
    phase, count, *flags = sys.argv[1:]
    owner, name, act = PHASES[phase]
    on_call(owner, name, int(count), act)
    main([sys.argv[0], *flags])
