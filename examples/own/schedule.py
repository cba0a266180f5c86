"""A schedule of your own: a peak for each cycle, and a shape that all of them share.

    python -m experiments.run --config=examples/own/schedule.py --workdir=runs/own_schedule

`schedule.peaks` has an entry a cycle; `schedule.shape` is where to import the shape from.
"""

import jax.numpy as jnp

from silo_jax.base_config import base_config


def half_sine(steps_per_cycle: int):
    """Up and down again along a sine, with its peak of 1 in the middle of the cycle."""
    return lambda step: jnp.sin(jnp.pi * step / steps_per_cycle)


def get_config():
    config = base_config()
    config.pruning.num_cycles = 4
    config.schedule.name = "list"
    config.schedule.peaks = tuple(0.05 * 1.3**cycle for cycle in range(4))
    config.schedule.shape = "examples.own.schedule:half_sine"
    return config
