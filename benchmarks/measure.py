"""Timing several programs in turn, and keeping the result with what it was measured on."""

import json
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax

from silo_jax.training.environment import environment


def seconds_in_turn(programs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each program, run one after another ``repeats`` times, after one run to warm up.

    Taking turns lets a change of the machine's speed meet all of them alike; the order of a turn is
    drawn, the same at every call, so that none always has the same one before it.
    """
    drawn = random.Random(0)
    for program in programs.values():
        jax.block_until_ready(program())
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in drawn.sample([*programs.items()], len(programs)):
            started = time.perf_counter()
            jax.block_until_ready(program())
            seconds[name].append(time.perf_counter() - started)
    return seconds


def require_steps(name: str, taken: Sequence[int], asked: int) -> None:
    """Refuses a program whose networks took fewer steps: after a loss that is not finite there are
    none, which would be told to be fast."""
    if set(taken) != {asked}:
        raise ValueError(f"{name}: {min(taken)} steps were taken; allowed: {asked}")


def median_ratio(seconds: list[float], reference: list[float]) -> float:
    """The median over turns of one program's time over another's."""
    return statistics.median(a / b for a, b in zip(seconds, reference, strict=True))


def ratio_quartiles(seconds: list[float], reference: list[float]) -> tuple[float, float]:
    """The lower and upper quartile over turns of that ratio."""
    ratios = [a / b for a, b in zip(seconds, reference, strict=True)]
    lower, _, upper = statistics.quantiles(ratios, n=4)
    return lower, upper


def rounded_quartiles(seconds: list[float], reference: list[float]) -> list[float]:
    """The quartiles to three decimals, as they are kept."""
    return [round(quartile, 3) for quartile in ratio_quartiles(seconds, reference)]


def peak_extra_bytes(program: Callable[[], Any]) -> int:
    """How far the process's resident memory rises while the program runs once (Linux only)."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    before = _resident_bytes("VmHWM")
    jax.block_until_ready(program())
    return _resident_bytes("VmHWM") - before


def _resident_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith(field))
    return 1024 * int(kilobytes)


def report(rows: Iterable[dict[str, Any]], out: str | None) -> None:
    """Prints the rows, and writes them to a JSON file with command, versions and device.

    Each as soon as there is one, so that what fails later takes none with it.
    """
    told: dict[str, Any] = {"environment": environment(), "rows": []}
    for row in rows:
        print("  ".join(f"{key} {_text(value)}" for key, value in row.items()), flush=True)
        told["rows"].append(row)
        if out:
            Path(out).write_text(json.dumps(told, indent=2) + "\n")


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
