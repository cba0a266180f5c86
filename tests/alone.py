"""Running a program in a fresh interpreter where only what the core needs can be imported."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What the experiments need and the core must not; absl is left out, since optax imports it.
HEAVY = (
    *("equinox", "flax", "jinja2", "matplotlib", "ml_collections", "orbax", "rich", "sklearn"),
    *("tensorflow", "tensorflow_datasets"),
)
REFUSE_HEAVY = f"""
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""


def run_alone(program: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs it in the directory, which is first on ``sys.path``; warnings are errors.

    JAX's cache of compiled programs is not used, as it wants packages that are refused.
    """
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", REFUSE_HEAVY + program],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
