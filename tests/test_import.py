"""The core needs JAX, optax and NumPy alone, and has the names that other code relies on."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import silo_jax

# What the experiments need and the core must not; absl is left out, since optax imports it.
HEAVY = (
    *("flax", "jinja2", "matplotlib", "ml_collections", "orbax", "rich", "sklearn"),
    *("tensorflow", "tensorflow_datasets"),
)
IMPORT_ALONE = f"""
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""
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


def run_python(program):
    root = Path(__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", ["flax.linen", "tensorflow", "matplotlib"])
def test_the_block_blocks(name):
    result = run_python(f"{IMPORT_ALONE}\nimport {name}")
    assert "ModuleNotFoundError" in result.stderr


def test_the_core_imports_and_works_where_nothing_heavier_is_installed():
    result = run_python(IMPORT_ALONE + TRAIN_A_LITTLE)
    assert (result.stdout.strip(), result.stderr) == ("0.5", "")


PARAMETERS = {
    "s_curve": "sparsity, steepness=5.0",
    "silo_peaks": "num_cycles, *, lower, upper, prune_fraction=0.2, steepness=5.0, delay=1",
    "silo_peaks_from_sparsity": "sparsities, *, lower, upper, steepness=5.0, delay=1",
    "cycle_schedule": "shape, peaks, steps_per_cycle",
    "silo_schedule": (
        "shape, *, num_cycles, steps_per_cycle, lower, upper, prune_fraction=0.2, steepness=5.0,"
        " delay=1"
    ),
    "init_masks": "params, prunable=None",
    "apply_masks": "tree, masks",
    "prune": "params, masks, fraction, *, criterion='magnitude', scope='global'",
    "masked": "optimizer",
    "sparsity": "masks",
}
SHAPES = (
    *("constant", "linear_decay", "cosine_decay", "triangular", "one_cycle"),
    "warmup_step_decay",
)


@pytest.mark.parametrize("name", PARAMETERS)
def test_public_functions_have_the_parameters_of_the_design(name):
    signature = inspect.signature(getattr(silo_jax, name))
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    assert str(inspect.Signature(bare)) == f"({PARAMETERS[name]})"


def test_all_lists_the_public_names():
    assert set(silo_jax.__all__) == {*PARAMETERS, "shapes"}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_the_design_exist(name):
    assert callable(getattr(silo_jax.shapes, name))
