"""SILO on the handwritten digits that scikit-learn ships: 1 797 images of 8×8 pixels.

python -m experiments.run --config=configs/quickstart.py --workdir=runs/quickstart
"""

from ml_collections import ConfigDict

from configs.base import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.seeds = (0, 1, 2)
    config.data.name = "digits"
    config.data.validation_fraction = 0.15
    config.model.name = "mlp"
    config.model.hidden = (48, 24)
    config.pruning.num_cycles = 18
    config.pruning.fraction = 0.2
    config.schedule.lower = 0.03
    config.schedule.upper = 0.1
    config.schedule.warmup_epochs = 0.5
    config.schedule.drop_epochs = (2.5, 3.5)
    config.training.epochs_per_cycle = 4
    config.training.batch_size = 16
    return config
