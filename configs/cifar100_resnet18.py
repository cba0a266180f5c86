"""SILO on CIFAR-100 with ResNet-18, protocol clean: cycles like those of the ResNet-20 on CIFAR-10.

    python -m experiments.run --config=configs/cifar100_resnet18.py --workdir=runs/resnet18
    python -m experiments.run --config=configs/cifar100_resnet18.py:cosine+lr --workdir=runs/cosine

After the colon: a schedule, a way of rewinding, or both (configs/variants.py). The paper's
hyper-parameters are not known; these are this project's own choice. 25 cycles of 50 epochs, for an
accelerator. Not yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import cifar
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = cifar("cifar100")
    config.model.name = "resnet18"
    config.model.stem = "cifar"
    return with_variant(config, variant)
