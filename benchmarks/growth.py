"""What grows with the number of cycles, weights, replicas and devices, and what has to stay flat.

    python -m benchmarks.growth --out=benchmarks/results/growth.json

Every row is a process of its own, as its peak memory is that of the process (Linux only):

- cycles: a run on the digits with an epoch a cycle; seconds a cycle, checkpoints and rows included,
  and the bytes on disk that a cycle adds. Both are to be flat, and so is the memory.
- weights: an MLP with one hidden layer; a step of 32 images, and an exact global prune.
- replicas: networks of the quickstart in one program (strategy "map"); an epoch of all of them.
- devices: an epoch on the digits of an MLP of 1.1 M weights, batches split over so many devices; on
  a CPU these share the host's cores. The bytes of the state on a device are to be flat.
- model: the same, with its kernels split over them; the bytes on a device are to shrink.

"peak_mb" is what the process needs beyond what it needs after its imports.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

from benchmarks.measure import report, seconds_in_turn
from benchmarks.replicas import TASKS, Networks, Task
from configs.quickstart import get_config
from silo_jax import prune
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.programs import Programs
from silo_jax.training.run import checked_experiment, run

SIZES = {
    "cycles": (1, 3, 10, 30, 100),
    "weights": (10_000, 100_000, 1_000_000, 10_000_000, 50_000_000),
    "replicas": (1, 2, 4, 8, 16),
    "devices": (1, 2, 4, 8),
    "model": (1, 2, 4, 8),
}
PIXELS, CLASSES = 64, 10


def of_cycles(number: int) -> dict[str, Any]:
    """A run of so many cycles; of the first, which compiles, no time is taken."""
    config = get_config()
    config.seeds = (0,)
    config.pruning.num_cycles = number + 1
    config.pruning.fraction = 0.03
    config.schedule.name = "constant"
    config.schedule.shape = "constant"
    config.training.epochs_per_cycle = 1
    with tempfile.TemporaryDirectory() as name:
        workdir = Path(name)
        ends = _seconds_at_ends_of_cycles(config, workdir)
        size = sum(path.stat().st_size for path in workdir.rglob("*") if path.is_file())
    return {
        "ms_a_cycle": 1e3 * (ends[-1] - ends[0]) / number,
        "kb_on_disk_a_cycle": size / 1024 / (number + 1),
    }


def _seconds_at_ends_of_cycles(config: Any, workdir: Path) -> list[float]:
    ends: list[float] = []

    class Noted(Console):
        def print(self, *objects: Any, **_: Any) -> None:
            if "cycle " in str(objects[0]):
                ends.append(time.perf_counter())

    run(config, workdir, Noted(file=sys.stderr))
    return ends


def of_weights(number: int) -> dict[str, Any]:
    """A network of about so many weights."""
    hidden = round(number / (PIXELS + CLASSES))
    task = Task({"name": "mlp", "hidden": (hidden,)}, (8, 8, 1), 32, 4, 32)
    network = Networks(task, 1, "")
    (state,) = network.states
    params, masks = jax.tree.map(jnp.copy, (state.params, state.masks))
    pruned = jax.jit(lambda params, masks: prune(params, masks, 0.2))
    programs: dict[str, Any] = {"epoch": network, "prune": lambda: pruned(params, masks)}
    seconds = {name: statistics.median(s) for name, s in seconds_in_turn(programs, 5).items()}
    return {
        "ns_a_step_and_weight": 1e9 * seconds["epoch"] / task.steps / number,
        "ns_a_prune_and_weight": 1e9 * seconds["prune"] / number,
        "compile_seconds": network.compile_seconds,
    }


def of_replicas(number: int) -> dict[str, Any]:
    """So many networks in one program."""
    networks = Networks(TASKS["quickstart"], number, "map")
    seconds = statistics.median(seconds_in_turn({"all": networks}, 9)["all"])
    return {
        "ms_an_epoch_and_replica": 1e3 * seconds / number,
        "compile_seconds": networks.compile_seconds,
    }


def of_devices(number: int, axis: str = "data") -> dict[str, Any]:
    """Batches, or kernels, split over so many devices."""
    jax.config.update("jax_num_cpu_devices", number)
    config = get_config()
    config.model.hidden = (1024, 1024)
    config.devices.data = config.devices.model = 1
    config.devices[axis] = number
    experiment = checked_experiment(config)
    started = time.perf_counter()
    programs = Programs(experiment, StopRequest())
    compile_seconds = time.perf_counter() - started
    state, seconds = experiment.create_state(0), []
    for epoch in range(1, 7):
        started = time.perf_counter()
        state, _ = programs.train(state, epoch * experiment.steps_per_epoch)
        seconds.append(time.perf_counter() - started)
    return {
        "ms_an_epoch": 1e3 * statistics.median(seconds[1:]),
        "kb_of_state_on_a_device": sum(map(_bytes_on_a_device, jax.tree.leaves(state))) / 1024,
        "compile_seconds": compile_seconds,
    }


def _bytes_on_a_device(leaf: jax.Array) -> int:
    return leaf.addressable_shards[0].data.nbytes


MEASURES: dict[str, Callable[[int], dict[str, Any]]] = {
    "cycles": of_cycles,
    "weights": of_weights,
    "replicas": of_replicas,
    "devices": of_devices,
    "model": partial(of_devices, axis="model"),
}


def in_a_process(over: str, number: int) -> dict[str, Any]:
    """A row."""
    command = [sys.executable, "-m", "benchmarks.growth", f"--one={over}:{number}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"over": over, "number": number, **json.loads(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--over", nargs="*", default=[*SIZES], choices=[*SIZES])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out")
    options = parser.parse_args()
    if options.one:
        over, number = options.one.split(":")
        before = _peak_mb()
        row = MEASURES[over](int(number))
        print(json.dumps(row | {"peak_mb": _peak_mb() - before}))
        return
    cases = ((over, number) for over in options.over for number in SIZES[over])
    report((in_a_process(*case) for case in cases), options.out)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
