r"""Fashion-MNIST in short cycles, for studies of hundreds of networks on two CPU cores.

    python -m experiments.compare --config=configs/fashion_mnist_study.py:lenet_300_100,lr \
        --workdir=runs/compare

15 cycles of 4 epochs, a quarter of the weights pruned after each, down to 1.8 %; 5 seeds; protocol
clean. Of LeNet-300-100 or of a small convolutional network ("strided_conv"), with weights rewound
to initialisation or kept ("weights" or "lr"). The bounds of max_lr are those that
`experiments.tune` finds when it starts from others:

    python -m experiments.tune --config=configs/fashion_mnist_study.py:lenet_300_100,lr \
        --workdir=runs/tune --config.schedule.lower=0.05 --config.schedule.upper=0.1
"""

from typing import ClassVar

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from silo_jax.base_config import base_config
from silo_jax.models.conv import Conv
from silo_jax.models.layers import Activation

NETWORKS = {
    "lenet_300_100": "lenet_300_100",
    "strided_conv": "configs.fashion_mnist_study:StridedConv",
}

# schedule.lower and schedule.upper
BOUNDS = {
    ("lenet_300_100", "weights"): (0.0397, 0.3175),
    ("lenet_300_100", "lr"): (0.0397, 0.2),
    ("strided_conv", "weights"): (0.1, 0.1587),
    ("strided_conv", "lr"): (0.1, 0.1587),
}


class StridedConv(nn.Module):
    """Two convolutions with strides in place of pooling, and two dense layers; 40 834 parameters.

    On 28×28 images the first takes patches of 4×4 pixels. Kernels: LeCun normal, biases 0. Pruned
    are the kernels of all layers.

    Attributes:
      num_classes: size of the output.
      activation: of the hidden units.
    """

    prunable: ClassVar[tuple[str, ...]] = ("kernel$",)

    num_classes: int
    activation: str = "relu"

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = Activation(self.activation)(Conv(24, (4, 4), strides=4)(images))
        x = Activation(self.activation)(Conv(32, (3, 3), strides=2, padding=1)(x))
        x = nn.Dense(64)(x.reshape(x.shape[0], -1))
        return nn.Dense(self.num_classes)(Activation(self.activation)(x))


def get_config(study: str = "lenet_300_100,weights") -> ConfigDict:
    if tuple(study.split(",")) not in BOUNDS:
        studies = " ".join(",".join(names) for names in BOUNDS)
        raise ValueError(f"study: {study!r}; allowed: {studies}")
    network, policy = study.split(",")
    config = base_config()
    config.seeds = (0, 1, 2, 3, 4)
    config.data.name = "fashion_mnist"
    config.model.name = NETWORKS[network]
    config.pruning.num_cycles = 15
    config.pruning.fraction = 0.25
    config.rewind.policy = policy
    config.schedule.lower, config.schedule.upper = BOUNDS[network, policy]
    config.schedule.warmup_epochs = 0.5
    config.schedule.drop_epochs = (2.5, 3.5)
    config.training.epochs_per_cycle = 4
    config.training.batch_size = 128
    config.training.weight_decay = 5e-4
    return config
