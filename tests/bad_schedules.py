"""Wrong arguments to the functions on schedules, with sound ones to put them in."""

from collections.abc import Callable
from typing import Any

import numpy as np

from silo_jax import (
    cycle_schedule,
    plans,
    report_schedule,
    s_curve,
    shapes,
    silo_peaks,
    silo_peaks_from_sparsity,
    silo_schedule,
    with_warmup,
)

CONSTANT = shapes.constant()
RATES = {"lower": 0.1, "upper": 0.2}
SOUND: dict[Callable, dict[str, Any]] = {
    shapes.constant: {},
    shapes.linear_decay: {"decay_steps": 4},
    shapes.cosine_decay: {"decay_steps": 4},
    shapes.triangular: {"total_steps": 4},
    shapes.one_cycle: {"total_steps": 4},
    shapes.warmup_step_decay: {"warmup_steps": 3, "drop_steps": (5, 8)},
    with_warmup: {"shape": CONSTANT, "warmup_steps": 3},
    cycle_schedule: {"shape": CONSTANT, "peaks": [0.1, 0.2], "steps_per_cycle": 4},
    silo_schedule: {"shape": CONSTANT, "num_cycles": 2, "steps_per_cycle": 4, **RATES},
    silo_peaks: {"num_cycles": 3, **RATES},
    silo_peaks_from_sparsity: {"sparsities": [0.0, 0.5], **RATES},
    s_curve: {"sparsity": 0.5},
    report_schedule: {"schedule": CONSTANT, "steps_per_cycle": 4, "num_cycles": 2},
    plans.geometric: {"num_cycles": 3},
    plans.linear: {"num_cycles": 3, "final_sparsity": 0.5},
    plans.cubic: {"num_cycles": 3, "final_sparsity": 0.5},
    plans.one_shot: {"num_cycles": 3, "final_sparsity": 0.5},
}

SHARE, RATE, STEEPNESS = "between 0 and 1", "finite, at least 0", "finite, greater than 0"
AT_LEAST, SCHEDULE = "an integer of at least ", "an optax schedule"

# The arguments that are changed, the value as it is shown, and what is allowed. The refusal names
# the first of the arguments.
WRONG: dict[Callable, list[tuple[dict[str, Any], str, str]]] = {
    shapes.linear_decay: [
        ({"decay_steps": 0}, "0", AT_LEAST + "1"),
        ({"decay_steps": 4.0}, "4.0", AT_LEAST + "1"),
        ({"decay_steps": 2**31}, "2147483648", "at most 2147483647"),
        ({"floor": "0"}, "'0'", SHARE),
        ({"floor": [0.1]}, "shape (1,)", "a scalar"),
    ],
    shapes.cosine_decay: [
        ({"decay_steps": None}, "None", AT_LEAST + "1"),
        ({"floor": -0.1}, "-0.1", SHARE),
    ],
    shapes.triangular: [
        ({"total_steps": 1}, "1", AT_LEAST + "2"),
        ({"total_steps": 4, "num_triangles": 3}, "4", AT_LEAST + "6"),
        ({"floor": None}, "None", SHARE),
        ({"num_triangles": 0}, "0", AT_LEAST + "1"),
    ],
    shapes.one_cycle: [
        ({"total_steps": "10"}, "'10'", AT_LEAST + "2"),
        ({"warmup_share": 0}, "0", SHARE),
        ({"initial_share": 2}, "2", SHARE),
        ({"final_share": -1}, "-1", SHARE),
    ],
    shapes.warmup_step_decay: [
        ({"warmup_cut_step": -1}, "-1", AT_LEAST + "0"),
        ({"warmup_steps": -1}, "-1", AT_LEAST + "0"),
        ({"drop_steps": 5}, "5", "a sequence of steps"),
        ({"drop_steps": (8, 5)}, "(8, 5)", "ascending steps"),
        ({"drop_steps": (5.5,)}, "5.5", AT_LEAST + "0"),
        ({"drop_steps": (2**31,)}, "2147483648", "at most 2147483647"),
        ({"drop_factor": 2}, "2", SHARE),
        ({"initial_share": [0.1]}, "shape (1,)", "a scalar"),
    ],
    with_warmup: [
        ({"shape": 0.5}, "0.5", SCHEDULE),
        ({"warmup_steps": 2.0}, "2.0", AT_LEAST + "0"),
        ({"initial_share": 3}, "3", SHARE),
    ],
    cycle_schedule: [
        ({"shape": None}, "None", SCHEDULE),
        ({"shape": [CONSTANT]}, "1 schedules", "one, or one a cycle (2)"),
        ({"peaks": []}, "shape (0,)", "(num_cycles,)"),
        ({"peaks": [-0.1]}, "-0.1", RATE),
        ({"peaks": [0.1, [0.2]]}, "[0.1, [0.2]]", RATE),
        ({"peaks": {"a": 0.1}}, "{'a': 0.1}", RATE),
        ({"peaks": np.full(99, "0.1")}, "array(['0.1', '0.1',", RATE),
        ({"steps_per_cycle": 0}, "0", AT_LEAST + "1"),
        ({"steps_per_cycle": [4, 4, 4]}, "3 cycles", "an integer, or one a cycle (2)"),
    ],
    silo_schedule: [
        ({"shape": 3}, "3", SCHEDULE),
        ({"num_cycles": 0}, "0", AT_LEAST + "1"),
        ({"steps_per_cycle": None}, "None", AT_LEAST + "1"),
        ({"lower": "a"}, "'a'", RATE),
        ({"upper": -1}, "-1", RATE),
        ({"prune_fraction": 1}, "1", "at least 0, below 1"),
        ({"steepness": 0}, "0", STEEPNESS),
        ({"delay": -1}, "-1", AT_LEAST + "0"),
    ],
    silo_peaks: [
        ({"num_cycles": "5"}, "'5'", AT_LEAST + "1"),
        ({"lower": None}, "None", RATE),
        ({"upper": [0.1, 0.2]}, "shape (2,)", "a scalar"),
        ({"prune_fraction": [0.2]}, "shape (1,)", "a scalar"),
        ({"steepness": [5]}, "shape (1,)", "a scalar"),
        ({"delay": 1.5}, "1.5", AT_LEAST + "0"),
    ],
    silo_peaks_from_sparsity: [
        ({"sparsities": []}, "shape (0,)", "(num_cycles,)"),
        ({"sparsities": [2]}, "2", SHARE),
        ({"lower": [0.1]}, "shape (1,)", "a scalar"),
        ({"upper": float("inf")}, "inf", RATE),
        ({"steepness": None}, "None", STEEPNESS),
        ({"delay": "1"}, "'1'", AT_LEAST + "0"),
    ],
    s_curve: [
        ({"sparsity": 1.1}, "1.1", SHARE),
        ({"sparsity": {}}, "{}", SHARE),
        ({"steepness": 0}, "0", STEEPNESS),
        ({"steepness": [1, 2, 3], "sparsity": [0.1, 0.2]}, "shape (3,)", "a shape that"),
    ],
    report_schedule: [
        ({"schedule": 0.1}, "0.1", SCHEDULE),
        ({"steps_per_cycle": "ab"}, "'ab'", AT_LEAST + "1"),
        ({"num_cycles": 0}, "0", AT_LEAST + "1"),
    ],
    plans.geometric: [
        ({"num_cycles": 0}, "0", AT_LEAST + "1"),
        ({"prune_fraction": "a"}, "'a'", "numbers at least 0, below 1"),
    ],
    plans.linear: [
        ({"num_cycles": True}, "True", AT_LEAST + "1"),
        ({"final_sparsity": 2}, "2", SHARE),
        ({"initial_sparsity": None}, "None", SHARE),
        ({"start": -1}, "-1", AT_LEAST + "0"),
        ({"end": 2, "start": 2}, "2", AT_LEAST + "3"),
    ],
    plans.cubic: [
        ({"num_cycles": None}, "None", AT_LEAST + "1"),
        ({"final_sparsity": [0.5]}, "shape (1,)", "a scalar"),
        ({"initial_sparsity": "0"}, "'0'", SHARE),
        ({"start": 1.5}, "1.5", AT_LEAST + "0"),
        ({"end": "2"}, "'2'", AT_LEAST + "1"),
    ],
    plans.one_shot: [
        ({"num_cycles": -1}, "-1", AT_LEAST + "1"),
        ({"final_sparsity": None}, "None", SHARE),
        ({"start": "0"}, "'0'", AT_LEAST + "0"),
    ],
}
