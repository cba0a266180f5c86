"""SILO on CIFAR-10 with a small Vision Transformer (patches of 4×4 pixels), protocol clean.

    python -m experiments.run --config=configs/cifar10_vit.py --workdir=runs/vit
    python -m experiments.run --config=configs/cifar10_vit.py:cosine+lr --workdir=runs/cosine

After the colon: a schedule, a way of rewinding, or both (configs/variants.py). Hyper-parameters
are this project's own choice, as is the network. 25 cycles of 50 epochs, for an accelerator. Not
yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import cifar
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = cifar("cifar10")
    config.model.name = "vit_cifar"
    config.schedule.lower = 5e-4
    config.schedule.upper = 1e-3
    config.training.batch_size = 128
    config.training.optimizer = "adamw"
    config.training.weight_decay = 0.05
    return with_variant(config, variant)
