r"""SILO on ImageNet with ViT-B/16 from a published checkpoint, protocol clean.

    python -m experiments.run --config=configs/imagenet_vit_b16.py --workdir=runs/vit_b16 \
        --config.model.checkpoint=ViT-B_16.npz

Without the checkpoint it starts from random weights. After the colon behind the config: a schedule
(not gradient_matched, as images are streamed), a way of rewinding, or both (configs/variants.py).
Hyper-parameters are this project's own choice. 15 cycles of 10 epochs, for several accelerators.
Not yet run.
"""

from ml_collections import ConfigDict

from configs.recipes import imagenet
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = imagenet()
    config.model.name = "vit_b16"
    config.model.checkpoint = ""
    config.schedule.lower = 0.03
    config.schedule.upper = 0.06
    config.schedule.shape = "cosine_decay"
    # Of the variants that have them, "silo" and "warmup".
    config.schedule.warmup_epochs = 1.0
    config.schedule.drop_epochs = (6, 8.5)
    config.training.epochs_per_cycle = 10
    config.training.weight_decay = 0.0
    return with_variant(config, variant)
