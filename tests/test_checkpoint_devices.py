"""A checkpoint that was written on one number of devices is restored on another."""

import os
import subprocess
import sys
from pathlib import Path

from tests.checkpoint_devices import check, save, state_on_one_device


def test_between_one_device_and_eight(tmp_path):
    state = state_on_one_device()
    save(tmp_path / "one", state)
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.checkpoint_devices", tmp_path],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    check(tmp_path / "eight", state)
