"""SILO on CIFAR-100 with VGG-19, protocol clean, in cycles like those on CIFAR-10.

    python -m experiments.run --config=configs/cifar100_vgg19.py --workdir=runs/vgg19
    python -m experiments.run --config=configs/cifar100_vgg19.py:cosine+lr --workdir=runs/cosine

After the colon: a schedule, a way of rewinding, or both (configs/variants.py). The paper's
hyper-parameters are not known; these are this project's own choice. 25 cycles of 160 epochs, for an
accelerator. Not yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import cifar, long_cycles
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = cifar("cifar100")
    long_cycles(config)
    config.model.name = "vgg19"
    return with_variant(config, variant)
