"""The time that importing the core takes on top of importing jax and optax.

    python -m benchmarks.import_time --out=benchmarks/results/import_time.json

Every turn is a fresh interpreter; a first one, which may have to write bytecode, does not count.
Garbage is not collected meanwhile, as in `timeit`: walking all that JAX has loaded takes 60 ms, and
which import it falls into is chance.
"""

import argparse
import json
import statistics
import subprocess
import sys

from benchmarks.measure import report

PROGRAM = """
import gc, json, sys, time
gc.disable()
started = time.perf_counter()
import jax, optax
ready, before = time.perf_counter(), set(sys.modules)
from silo_jax import silo_schedule, prune
done, modules = time.perf_counter(), set(sys.modules) - before
print(json.dumps({"jax_and_optax": ready - started, "core": done - ready, "modules": [*modules]}))
"""


def measure() -> dict:
    """Seconds of either import, and the modules that the second one loads."""
    command = [sys.executable, "-c", PROGRAM]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out")
    options = parser.parse_args()
    measure()
    turns = [measure() for _ in range(options.repeats)]
    core_ms = [1e3 * turn["core"] for turn in turns]
    lower, _, upper = statistics.quantiles(core_ms, n=4)
    modules = turns[-1]["modules"]
    row = {
        "core_ms": statistics.median(core_ms),
        "its_quartiles": [round(lower, 2), round(upper, 2)],
        "jax_and_optax_ms": 1e3 * statistics.median(turn["jax_and_optax"] for turn in turns),
        "modules": len(modules),
        "not_of_silo_jax": sorted(m for m in modules if m.partition(".")[0] != "silo_jax"),
    }
    report([row], options.out)


if __name__ == "__main__":
    main()
