"""SILO on Fashion-MNIST, protocol clean, with LeNet-300-100 or a variant of LeNet-5.

    python -m experiments.run --config=configs/fashion_mnist_lenet.py --workdir=runs/fashion_mnist
    python -m experiments.run --config=configs/fashion_mnist_lenet.py:lenet5 --workdir=runs/lenet5

LeNet-300-100 takes 2 min 15 s on two CPU cores, at about 80 000 images/s: 10 cycles of 20 epochs,
one seed. Expect 89.9 % test accuracy of the dense network and as much at 13 % of the weights. The
whole LeNet-5 run has not been made yet. The learning rates are this project's own choice.
"""

from ml_collections import ConfigDict

from silo_jax.base_config import base_config


def get_config(model: str = "lenet_300_100") -> ConfigDict:
    config = base_config()
    config.data.name = "fashion_mnist"
    config.model.name = model
    config.pruning.num_cycles = 10
    config.pruning.fraction = 0.2
    config.schedule.lower = 0.05
    config.schedule.upper = 0.1
    config.schedule.warmup_epochs = 1.0
    config.schedule.drop_epochs = (12, 17)
    config.training.epochs_per_cycle = 20
    config.training.batch_size = 128
    config.training.weight_decay = 5e-4
    return config
