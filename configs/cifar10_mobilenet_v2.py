"""SILO on CIFAR-10 with MobileNetV2, protocol clean: cycles like those of the ResNet-20.

    python -m experiments.run --config=configs/cifar10_mobilenet_v2.py --workdir=runs/mobilenet_v2
    python -m experiments.run --config=configs/cifar10_mobilenet_v2.py:cosine --workdir=runs/cosine

After the colon: a schedule, a way of rewinding, or both (configs/variants.py). The paper's
hyper-parameters are not known; these are this project's own choice. 25 cycles of 50 epochs, for an
accelerator. Not yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import cifar
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = cifar("cifar10")
    config.model.name = "mobilenet_v2"
    config.model.stem = "cifar"
    return with_variant(config, variant)
