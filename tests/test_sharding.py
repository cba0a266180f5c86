"""Sharded leaves: tests of other files, in an interpreter with 8 CPU devices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ["eight_devices.py", "eight_devices_training.py", "eight_devices_runs.py"]
QUICKER_TO_COMPILE = "--xla_backend_optimization_level=0"


@pytest.mark.parametrize("file", FILES)
def test_on_eight_devices(file):
    flags = f"--xla_force_host_platform_device_count=8 {QUICKER_TO_COMPILE}"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{file}"],
        cwd=ROOT,
        env=os.environ
        | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout
