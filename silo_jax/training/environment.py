"""By what a session trains networks: command, commit, versions and device."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import jax

from silo_jax.files import write_json


def write_environment(directory: Path) -> None:
    """Writes environment.json; on Ray it is the session's own, not its workers'."""
    write_json(directory / "environment.json", environment())


@cache
def environment() -> dict[str, str]:
    """Command, commit, versions and device, as this process first found them.

    Its code is that of its start, whatever is committed meanwhile.
    """
    device = jax.devices()[0]
    packages = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "command": shlex.join([*_program(), *sys.argv[1:]]),
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "device": f"{jax.device_count()} × {device.device_kind} ({device.platform})",
        "host cores": str(os.cpu_count()),
        "system": platform.platform(),
    }


def _program() -> list[str]:
    """What was started: a module, such as experiments.run, or a script."""
    module = sys.modules["__main__"].__spec__
    return [Path(sys.argv[0]).name] if module is None else ["python", "-m", module.name]


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
