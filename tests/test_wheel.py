"""The wheel holds the package and nothing else, and works without the experiments' packages."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from silo_jax.cli.main import COMMANDS
from tests.alone import ROOT, run_alone

NOT_SOURCES = (".*", "__pycache__", "_build", "build", "dist", "runs", "*.egg-info")
PRUNE_A_LITTLE = """
import jax, numpy, optax
before = set(sys.modules)
from silo_jax import init_masks, prune, shapes, silo_schedule, sparsity
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - set(sys.stdlib_module_names)))
import silo_jax
print(silo_jax.__file__)
schedule = silo_schedule(
    shapes.constant(), num_cycles=2, steps_per_cycle=1, lower=0.25, upper=0.5, delay=0
)
params = {"kernel": jax.numpy.ones((2, 5))}
print(float(schedule(0)), round(10 * float(sparsity(prune(params, init_masks(params), 0.3)))))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A directory with the contents of the wheel, built from a copy of the sources."""
    directory = tmp_path_factory.mktemp("wheel")
    sources = directory / "sources"
    shutil.copytree(ROOT, sources, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(directory)!r})"
    subprocess.run(
        [sys.executable, "-c", build], cwd=sources, check=True, capture_output=True, timeout=120
    )
    (wheel,) = directory.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(directory / "installed")
    return directory / "installed"


def files_below(directory: Path, ignored: str = "__pycache__") -> set[str]:
    files = (path for path in directory.rglob("*") if path.is_file() and ignored not in path.parts)
    return {path.relative_to(directory).as_posix() for path in files}


def distribution(installed: Path) -> Distribution:
    (info,) = installed.glob("*.dist-info")
    return Distribution.at(info)


def test_it_holds_every_file_of_the_package_and_no_other(installed):
    assert files_below(installed / "silo_jax") == files_below(ROOT / "silo_jax")
    assert {"py.typed", "reporting/report.html.jinja"} <= files_below(installed / "silo_jax")
    assert sorted(path.suffix for path in installed.iterdir()) == ["", ".dist-info"]


def test_without_extras_it_needs_jax_optax_and_numpy_alone(installed):
    needed = [line for line in distribution(installed).requires if "extra ==" not in line]
    assert {re.match(r"[\w-]+", line)[0] for line in needed} == {"jax", "numpy", "optax"}


def test_its_extras_are_those_of_the_project(installed):
    metadata = distribution(installed).metadata
    assert {"experiments", "tfds", "test", "docs", "dev"} <= {*metadata.get_all("Provides-Extra")}
    assert (metadata["Name"], metadata["Requires-Python"]) == ("silo-jax", ">=3.11")


def test_the_core_works_from_it_and_loads_nothing_else(installed):
    result = run_alone(PRUNE_A_LITTLE, installed)
    assert result.stderr == ""
    loaded, file, values = result.stdout.splitlines()
    assert set(loaded.split()) <= {"silo_jax", "jax", "jaxlib", "numpy", "optax"}
    assert Path(file).is_relative_to(installed)
    assert values == "0.25 3"


CONFIG = """
from beside import NUM_CYCLES
from silo_jax.base_config import base_config

def get_config():
    config = base_config()
    config.pruning.num_cycles = NUM_CYCLES
    config.training.epochs_per_cycle = 1
    return config
"""


def console_script(installed: Path, directory: Path, *arguments: str):
    """Starts what the wheel declares as its script, far from the sources."""
    (script,) = distribution(installed).entry_points.select(group="console_scripts")
    call = f"import {script.module}; {script.module}.{script.attr}()"
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[0] = {script.name!r}; {call}", *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_its_script_runs_a_config_of_the_users_own(installed, tmp_path):
    (tmp_path / "beside.py").write_text("NUM_CYCLES = 2")
    (tmp_path / "mine.py").write_text(CONFIG)
    done = console_script(installed, tmp_path, "run", "--config=mine.py", "--workdir=mine")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine" / "cycles.csv").read_text().count("\n") == 3
    environment = json.loads((tmp_path / "mine" / "environment.json").read_text())
    assert environment["command"] == "silo-jax run --config=mine.py --workdir=mine"


def test_its_script_offers_its_commands(installed, tmp_path):
    shown = console_script(installed, tmp_path, "--help").stdout
    assert {line.split()[0] for line in shown.splitlines()[1:]} == set(COMMANDS)
    refused = console_script(installed, tmp_path, "rn")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: command: 'rn'; allowed: ")
    assert refused.stderr.endswith("(did you mean 'run'?)\n")
    usage = console_script(installed, tmp_path, "run", "--help").stdout
    assert usage.startswith("usage: silo-jax run --config=FILE")
