r"""SILO on 200 classes of ImageNet with ResNet-50, protocol clean.

    python -m experiments.run --config=configs/imagenet200_resnet50.py --workdir=runs/imagenet200 \
        --config.data.classes=wnids.txt

The file names a class (n01443537) a line; which 200 the paper takes is not known. After the colon
behind the config: a schedule (not gradient_matched, as images are streamed), a way of rewinding, or
both (configs/variants.py). Hyper-parameters are this project's own choice. 15 cycles of 90 epochs,
for an accelerator. Not yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import imagenet
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = imagenet()
    config.data.classes = "wnids.txt"
    config.model.name = "resnet50"
    config.schedule.lower = 0.1
    config.schedule.upper = 0.2
    config.training.batch_size = 256
    return with_variant(config, variant)
