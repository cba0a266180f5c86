"""LeNet-300-100 on Fashion-MNIST in short cycles, for studies of many networks on two CPU cores.

    python -m experiments.oracle --config=configs/fashion_mnist_short.py --workdir=runs/oracle
    python -m experiments.compare --config=configs/fashion_mnist_short.py --workdir=runs/compare

8 cycles of 4 epochs, two fifths of the weights pruned after each, 3 seeds. Protocol clean.
"""

from ml_collections import ConfigDict

from configs.base import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.seeds = (0, 1, 2)
    config.data.name = "fashion_mnist"
    config.model.name = "lenet_300_100"
    config.pruning.num_cycles = 8
    config.pruning.fraction = 0.4
    config.schedule.lower = 0.0397  # both by python -m experiments.tune
    config.schedule.upper = 0.2
    config.schedule.warmup_epochs = 0.5
    config.schedule.drop_epochs = (2.5, 3.5)
    config.training.epochs_per_cycle = 4
    config.training.batch_size = 128
    config.training.weight_decay = 5e-4
    return config
