"""SILO on ImageNet with ResNet-50, protocol clean.

    python -m experiments.run --config=configs/imagenet_resnet50.py --workdir=runs/resnet50
    python -m experiments.run --config=configs/imagenet_resnet50.py:warmup+lr --workdir=runs/warmup

After the colon: a schedule (not gradient_matched, as images are streamed), a way of rewinding, or
both (configs/variants.py). Hyper-parameters are this project's own choice. 15 cycles of 90 epochs,
for several accelerators; imagenet2012 has to be prepared by TensorFlow Datasets as array_record.
Not yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import imagenet
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = imagenet()
    config.model.name = "resnet50"
    return with_variant(config, variant)
