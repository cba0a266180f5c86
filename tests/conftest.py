"""Fixtures that several test files share."""

from tests.reporting_run import workdir
from tests.run_process import straight
from tests.tfds_sets import paths, small_reads

__all__ = ["paths", "small_reads", "straight", "workdir"]
