"""Time of one exact global prune of weights on one device, whole on each of eight, and split.

    python -m benchmarks.prune_devices --out=benchmarks/results/prune_devices.json

On a CPU the eight are made of the host's cores, all of which one device uses as well: eight whole
copies are eight times the work, and split weights the same work as on one device, so that what they
take beyond it is the exchange of counts. The masks have to be the same. Peak memory is what a run
needs beside weights and masks, its result included, of all devices together: they share the host's.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.measure import (
    median_ratio,
    peak_extra_bytes,
    report,
    rounded_quartiles,
    seconds_in_turn,
)
from benchmarks.prune import FRACTION, NETWORKS, num_kept, weights_and_masks
from silo_jax import prune
from silo_jax.distributed import make_mesh, place, replicate

DEVICES = 8
PROGRAM = jax.jit(lambda params, masks: prune(params, masks, FRACTION))


PLACES: dict[str, Callable[[Any], Any]] = {
    "on one": lambda trees: trees,
    "whole on each": lambda trees: replicate(make_mesh(DEVICES, 1), trees),
    "split": lambda trees: place(make_mesh(1, DEVICES), trees),
}


def rows_of(network: str, repeats: int) -> list[dict[str, Any]]:
    """A row for each place of the weights."""
    trees = weights_and_masks(NETWORKS[network])
    programs = {where: partial(PROGRAM, *put(trees)) for where, put in PLACES.items()}
    seconds = seconds_in_turn(programs, repeats)
    alone = jax.tree.map(np.asarray, programs["on one"]())
    found = {where: programs[where]() for where in programs}
    for where, masks in found.items():
        if not all(np.array_equal(masks[name], alone[name]) for name in alone):
            raise ValueError(f"{network}: other masks {where} than on one device")
    weights = sum(mask.size for mask in alone.values())
    rows = [
        {
            "network": network,
            "weights": weights,
            "devices": 1 if where == "on one" else DEVICES,
            "where": where,
            "seconds": statistics.median(seconds[where]),
            "times_one_device": median_ratio(seconds[where], seconds["on one"]),
            "its_quartiles": rounded_quartiles(seconds[where], seconds["on one"]),
            "kept": num_kept(found[where]),
        }
        for where in programs
    ]
    if jax.default_backend() == "cpu":  # an accelerator's memory is not the process's
        for row in rows:
            row["peak_bytes_a_weight"] = peak_bytes_of_a_run(network, row["where"]) / weights
    return rows


def peak_bytes_of_a_run(network: str, where: str) -> int:
    """In an interpreter of its own, in which nothing else has run; compiled before it is run."""
    command = [sys.executable, "-m", "benchmarks.prune_devices", f"--peak-of={network}:{where}"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak_bytes(network: str, where: str) -> None:
    params, masks = PLACES[where](weights_and_masks(NETWORKS[network]))
    program = PROGRAM.lower(params, masks).compile()
    print(peak_extra_bytes(partial(program, params, masks)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--out")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", DEVICES)
    if jax.device_count() < DEVICES:
        parser.error(f"{jax.device_count()} devices; allowed: {DEVICES} or more")
    if options.peak_of:
        print_peak_bytes(*options.peak_of.split(":"))
        return
    report(
        (row for name in options.networks for row in rows_of(name, options.repeats)), options.out
    )


if __name__ == "__main__":
    main()
