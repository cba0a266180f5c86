"""SILO on CIFAR-10 with VGG-16, protocol clean: cycles like those of the authors' VGG-19.

    python -m experiments.run --config=configs/cifar10_vgg16.py --workdir=runs/vgg16
    python -m experiments.run --config=configs/cifar10_vgg16.py:cosine+lr --workdir=runs/cosine

After the colon: a schedule, a way of rewinding, or both (configs/variants.py). The paper's
hyper-parameters are not known; these are this project's own choice. 25 cycles of 160 epochs, for an
accelerator. Not yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import cifar, long_cycles
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = cifar("cifar10")
    long_cycles(config)
    config.model.name = "vgg16"
    return with_variant(config, variant)
