"""The run that `test_stopped_runs.py` stops: three cycles of two epochs, two seeds."""

from ml_collections import ConfigDict

from tests.tiny import tiny_config


def get_config() -> ConfigDict:
    return tiny_config(pruning__num_cycles=3, rewind__epoch=1, seeds=(0, 1))
