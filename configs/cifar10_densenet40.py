"""SILO on CIFAR-10 with DenseNet-40, protocol clean: cycles like those of the ResNet-20.

    python -m experiments.run --config=configs/cifar10_densenet40.py --workdir=runs/densenet40
    python -m experiments.run --config=configs/cifar10_densenet40.py:cosine+lr --workdir=runs/cosine

After the colon: a schedule, a way of rewinding, or both (configs/variants.py). The paper's
hyper-parameters are not known; these are this project's own choice. 25 cycles of 50 epochs, for an
accelerator. Not yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import cifar
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = cifar("cifar10")
    config.model.name = "densenet40"
    return with_variant(config, variant)
