"""LeNet-300-100 on Fashion-MNIST in short cycles, for studies of many networks on two CPU cores.

    python -m experiments.oracle --config=configs/fashion_mnist_short.py --workdir=runs/oracle
    python -m experiments.compare --config=configs/fashion_mnist_short.py --workdir=runs/compare

8 cycles of 4 epochs, two fifths of the weights pruned after each, 3 seeds. Protocol clean. On a
busy machine of two cores the Oracle took 22 min and the comparison, with four max_lr in two
processes (--max_lrs=0.01985,0.0397,0.0794,0.1588 --cells=1/2 and 2/2), 45 min. Expect 88.3 % test
accuracy of the dense network and 88.9 % at 2.8 % of the weights. The bounds of max_lr are those of
experiments.tune (3 min) when it starts from others: --config.schedule.lower=0.05
--config.schedule.upper=0.1.
"""

from ml_collections import ConfigDict

from silo_jax.base_config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.seeds = (0, 1, 2)
    config.data.name = "fashion_mnist"
    config.model.name = "lenet_300_100"
    config.pruning.num_cycles = 8
    config.pruning.fraction = 0.4
    config.schedule.lower = 0.0397
    config.schedule.upper = 0.2
    config.schedule.warmup_epochs = 0.5
    config.schedule.drop_epochs = (2.5, 3.5)
    config.training.epochs_per_cycle = 4
    config.training.batch_size = 128
    config.training.weight_decay = 5e-4
    return config
