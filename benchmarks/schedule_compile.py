"""The time to trace and to compile a SILO of 1 000 cycles over that of one of 25.

    python -m benchmarks.schedule_compile --out=benchmarks/results/schedule_compile.json

"schedule" is made before and jitted; "in jit" is made in the jitted function too. The two lengths
take turns in a drawn order, and JAX forgets before each measurement all that it has traced and
compiled.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from benchmarks.measure import median_ratio, report, rounded_quartiles
from silo_jax import shapes, silo_schedule

SHORT, LONG = 25, 1000
STAGES = ("trace", "compile", "trace and compile")


def schedule(num_cycles: int) -> optax.Schedule:
    shape = shapes.warmup_step_decay(warmup_steps=100, drop_steps=(250, 320))
    return silo_schedule(shape, num_cycles=num_cycles, steps_per_cycle=500, lower=0.03, upper=0.07)


def schedule_in_jit(num_cycles: int) -> optax.Schedule:
    return lambda step: schedule(num_cycles)(step)


def seconds_to_compile(program: Callable) -> dict[str, float]:
    """Seconds of every stage, for a function of a step."""
    jax.clear_caches()
    started = time.perf_counter()
    traced = jax.jit(program).trace(jax.ShapeDtypeStruct((), jnp.int32))
    was_traced = time.perf_counter()
    traced.lower().compile()
    done = time.perf_counter()
    return dict(zip(STAGES, (was_traced - started, done - was_traced, done - started), strict=True))


def measure(make: Callable[[int], optax.Schedule], repeats: int) -> list[dict]:
    programs = {num_cycles: make(num_cycles) for num_cycles in (SHORT, LONG)}
    for program in programs.values():
        seconds_to_compile(program)
    drawn = random.Random(0)
    turns = [
        {length: seconds_to_compile(programs[length]) for length in drawn.sample([SHORT, LONG], 2)}
        for _ in range(repeats)
    ]
    rows = []
    for stage in STAGES:
        short = [turn[SHORT][stage] for turn in turns]
        long = [turn[LONG][stage] for turn in turns]
        rows.append(
            {
                "stage": stage,
                f"ms_at_{SHORT}_cycles": 1e3 * statistics.median(short),
                f"ms_at_{LONG}_cycles": 1e3 * statistics.median(long),
                "long_over_short": median_ratio(long, short),
                "its_quartiles": rounded_quartiles(long, short),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--out")
    options = parser.parse_args()
    ways = {"schedule": schedule, "in jit": schedule_in_jit}
    rows = [
        {"way": way} | row for way, make in ways.items() for row in measure(make, options.repeats)
    ]
    report(rows, options.out)


if __name__ == "__main__":
    main()
