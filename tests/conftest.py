"""Fixtures that several test files share."""

import gc
from pathlib import Path

import jax
import pytest

from tests.reporting_run import workdir
from tests.run_process import straight
from tests.tfds_sets import paths, small_reads

__all__ = ["paths", "small_reads", "straight", "workdir"]

# Linux grants a process 65 530, of which a compiled program takes several; XLA aborts without them.
_MANY_MEMORY_MAPS = 15_000


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_are_dropped():
    """Before the suite's programs use up what a process may have of memory maps."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > _MANY_MEMORY_MAPS:
        jax.clear_caches()
        gc.collect()
