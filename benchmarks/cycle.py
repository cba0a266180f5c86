"""Where the time of a whole cycle goes, from data to checkpoint, for ResNet-20 on CIFAR-10.

    TFDS_DATA_DIR=DIR python -m benchmarks.cycle --out=benchmarks/results/cycle.json

A run of `configs/cifar10_resnet20.py` with two cycles, of which the second starts with rewinding.
To be done in a quarter of an hour on two cores it has the images of two classes, a fifth of all, in
training, validation and test alike; ``--classes=`` takes all. Every second of the process is given
to one part, the innermost that is being timed. "prune" lies in the last step of a cycle; it is
timed by itself, on the same weights, and taken from the steps. ``--profile=DIR --epochs=1`` writes
a trace of `jax.profiler` of the second cycle; one of more epochs does not fit into memory.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import jax
from rich.console import Console

from benchmarks.measure import report
from configs.cifar10_resnet20 import get_config
from silo_jax import prune
from silo_jax.checkpoint import Checkpoints
from silo_jax.reporting import write_report
from silo_jax.training import run as run_module
from silo_jax.training.experiment import Experiment
from silo_jax.training.loop import SeedRun
from silo_jax.training.programs import Programs
from silo_jax.training.results import Results

CYCLES = 2
REWINDINGS = CYCLES - 1
TIMED = (
    (run_module, "load_experiment", "input"),
    (Programs, "__init__", "compiling"),
    (Programs, "train", "steps"),
    (Programs, "evaluate", "evaluation"),
    (SeedRun, "_next_cycle", "rewinding"),
    (Checkpoints, "save", "checkpoint"),
    (Checkpoints, "save_rewind_point", "checkpoint"),
    (Checkpoints, "close", "checkpoint"),
    (Experiment, "create_state", "initialisation"),
    (Results, "add_epoch", "result files"),
    (Results, "add_cycle", "result files"),
)

# What a run of many cycles does once, or once a seed.
ONCE = ("input", "compiling", "initialisation", "report", "other")


class Clock:
    """Seconds by part; while one part is inside another, they are the inner one's."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._parts, self._since = ["other"], time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._settle()
        self._parts.append(name)
        try:
            yield
        finally:
            self._settle()
            self._parts.pop()

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return jax.block_until_ready(function(*args, **kwargs))

        return call

    def _settle(self) -> None:
        now = time.perf_counter()
        self.seconds[self._parts[-1]] += now - self._since
        self._since = now


def seconds_of_a_run(config: Any, workdir: Path, profile: str | None) -> Counter[str]:
    """Trains as the config says, and makes the report."""
    with ExitStack() as stack:
        clock = Clock()
        for owner, name, part in TIMED:
            timed = clock.timed(getattr(owner, name), part)
            stack.enter_context(mock.patch.object(owner, name, timed))
        if profile:
            stack.enter_context(_profiling_the_second_cycle(profile))
        run_module.run(config, workdir, Console(quiet=True))
        with clock.part("report"):
            write_report(workdir)
        with clock.part("other"):
            return clock.seconds


@contextmanager
def _profiling_the_second_cycle(directory: str) -> Iterator[None]:
    next_cycle = SeedRun._next_cycle

    def started(*args: Any) -> Any:
        jax.profiler.start_trace(directory)
        return next_cycle(*args)

    with mock.patch.object(SeedRun, "_next_cycle", started):
        yield
    jax.profiler.stop_trace()


def seconds_of_a_prune(config: Any) -> float:
    """The median of ten, of the dense network."""
    state = run_module.checked_experiment(config).create_state(0)
    program = jax.jit(lambda params, masks: prune(params, masks, config.pruning.fraction))
    jax.block_until_ready(program(state.params, state.masks))
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        jax.block_until_ready(program(state.params, state.masks))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def rows_of(seconds: Counter[str]) -> list[dict[str, Any]]:
    """The parts' seconds in a cycle and their shares; those that come once a run apart."""
    a_cycle = {
        name: value / (REWINDINGS if name == "rewinding" else CYCLES)
        for name, value in seconds.most_common()
        if name not in ONCE
    }
    whole = sum(a_cycle.values())
    rows: list[dict[str, Any]] = [
        {"part": name, "seconds_a_cycle": value, "share": value / whole}
        for name, value in a_cycle.items()
    ]
    return rows + [{"part": f"{name} (once)", "seconds": seconds[name]} for name in ONCE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--classes", default="0,1", help="of data.classes; all for an empty text")
    parser.add_argument("--profile", metavar="DIR")
    parser.add_argument("--out")
    options = parser.parse_args()
    config = get_config("constant")
    config.pruning.num_cycles = CYCLES
    config.training.epochs_per_cycle = options.epochs
    config.data.classes = options.classes
    config.seeds = (0,)
    with tempfile.TemporaryDirectory() as directory:
        seconds = seconds_of_a_run(config, Path(directory), options.profile)
    seconds["prune"] = CYCLES * seconds_of_a_prune(config)
    seconds["steps"] -= seconds["prune"]
    report(rows_of(seconds), options.out)


if __name__ == "__main__":
    main()
