"""The core needs JAX, optax and NumPy alone, and has the names that other code relies on."""

import inspect

import pytest

import silo_jax
from tests.alone import run_alone

TRAIN_A_LITTLE = """
import jax.numpy as jnp, optax
import silo_jax

schedule = silo_jax.silo_schedule(
    silo_jax.shapes.constant(), num_cycles=3, steps_per_cycle=2, lower=0.1, upper=0.2
)
optimizer = silo_jax.masked(optax.sgd(schedule))
params = {"kernel": jnp.arange(6.0).reshape(2, 3)}
masks = silo_jax.prune(params, silo_jax.init_masks(params), 0.5)
optimizer.update(params, optimizer.init(params), params, masks=masks)
print(float(silo_jax.sparsity(masks)))
"""


@pytest.mark.parametrize("name", ["flax.linen", "tensorflow", "matplotlib"])
def test_the_block_blocks(name):
    result = run_alone(f"import {name}")
    assert "ModuleNotFoundError" in result.stderr


def test_the_core_imports_and_works_where_nothing_heavier_is_installed():
    result = run_alone(TRAIN_A_LITTLE)
    assert (result.stdout.strip(), result.stderr) == ("0.5", "")


PRUNE = (
    "params, masks, fraction=None, *, target_sparsity=None, criterion='magnitude',"
    " scope='global', min_kept=1"
)
PARAMETERS = {
    "s_curve": "sparsity, steepness=5.0",
    "silo_peaks": "num_cycles, *, lower, upper, prune_fraction=0.2, steepness=5.0, delay=1",
    "silo_peaks_from_sparsity": "sparsities, *, lower, upper, steepness=5.0, delay=1",
    "cycle_schedule": "shape, peaks, steps_per_cycle",
    "silo_schedule": (
        "shape, *, num_cycles, steps_per_cycle, lower, upper, prune_fraction=0.2, steepness=5.0,"
        " delay=1"
    ),
    "with_warmup": "shape, warmup_steps, initial_share=0.0",
    "report_schedule": "schedule, *, steps_per_cycle, num_cycles=None",
    "init_masks": "params, prunable=None, *, exempt=()",
    "apply_masks": "tree, masks",
    "prune": PRUNE,
    "prune_and_report": PRUNE,
    "prune_channels": (
        "params, masks, fraction=None, *, target_sparsity=None, criterion='magnitude',"
        " scope='layerwise', min_kept=1, output_axis=-1"
    ),
    "prune_n_m": "params, masks, n, m, *, criterion='magnitude', input_axis=-2",
    "layer_order": "function, params",
    "load": "directory, *, cycle=None, seed=None",
    "masked": "optimizer",
    "sparsity": "masks",
}
SHAPES = {
    "constant": "",
    "linear_decay": "decay_steps, floor=0.0",
    "cosine_decay": "decay_steps, floor=0.0",
    "triangular": "total_steps, floor=0.0, num_triangles=1",
    "one_cycle": "total_steps, warmup_share=0.3, initial_share=0.04, final_share=4e-06",
    "warmup_step_decay": "warmup_steps, drop_steps=(), drop_factor=0.1, initial_share=0.0, "
    "warmup_cut_step=None",
    "with_warmup": "shape, warmup_steps, initial_share=0.0",
}
PLANS = {
    "geometric": "num_cycles, prune_fraction=0.2",
    "linear": "num_cycles, final_sparsity, initial_sparsity=0.0, start=0, end=None",
    "cubic": "num_cycles, final_sparsity, initial_sparsity=0.0, start=0, end=None",
    "one_shot": "num_cycles, final_sparsity, start=0",
}


def parameters_of(function):
    signature = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(bare))


@pytest.mark.parametrize("name", PARAMETERS)
def test_public_functions_have_the_parameters_of_the_design(name):
    assert parameters_of(getattr(silo_jax, name)) == f"({PARAMETERS[name]})"


def test_all_lists_the_public_names():
    assert set(silo_jax.__all__) == {*PARAMETERS, "criteria", "plans", "shapes"}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_the_parameters_of_the_design(name):
    assert parameters_of(getattr(silo_jax.shapes, name)) == f"({SHAPES[name]})"


@pytest.mark.parametrize("name", PLANS)
def test_plans_have_the_parameters_of_the_design(name):
    assert parameters_of(getattr(silo_jax.plans, name)) == f"({PLANS[name]})"
