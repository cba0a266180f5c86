"""Two cycles of 8 steps on two classes, for `benchmarks.networks`, which names set and network."""

from ml_collections import ConfigDict

from silo_jax.base_config import base_config
from silo_jax.models import model_options


def get_config(network: str) -> ConfigDict:
    config = base_config()
    config.data.classes = "0,1"
    config.model.name = network
    if "stem" in model_options(network):
        config.model.stem = "cifar"
    config.pruning.num_cycles = 2
    config.schedule.lower = 0.01
    config.schedule.upper = 0.02
    config.schedule.shape = "constant"
    config.training.epochs_per_cycle = 0
    config.training.steps_per_cycle = 8
    return config
