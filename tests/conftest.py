"""Fixtures that several test files share, and programs that are compiled once for all."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest

from tests.compilations import READS_WHAT_IT_KEEPS
from tests.reporting_run import workdir
from tests.run_process import straight
from tests.tfds_sets import paths, small_reads

__all__ = ["paths", "small_reads", "straight", "workdir"]

# Linux grants a process 65 530, of which a compiled program takes several; XLA aborts without them.
_MANY_MEMORY_MAPS = 15_000


def pytest_configure(config):
    """Has all processes of the tests, workers and commands, read what one of them has compiled."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and READS_WHAT_IT_KEEPS:
        directory = config.silo_jax_programs = tempfile.mkdtemp(prefix="programs")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = directory
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        jax.config.update("jax_compilation_cache_dir", directory)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_unconfigure(config):
    if directory := getattr(config, "silo_jax_programs", None):
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_are_dropped():
    """Before the suite's programs use up what a process may have of memory maps."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > _MANY_MEMORY_MAPS:
        jax.clear_caches()
        gc.collect()
