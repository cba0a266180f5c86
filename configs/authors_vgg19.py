"""Run 0 of the authors' VGG-19 script on CIFAR-10, protocol authors: their quirks are kept.

    python -m experiments.run --config=configs/authors_vgg19.py --workdir=runs/authors_vgg19

docs/parity.md lists what is reproduced and what is not. Nothing here is comparable with protocol
clean: the best epoch is chosen on the test split, and the official test images are trained on. The
network has the ImageNet head: 119.6 of its 139.6 million parameters are in dense layers.

25 cycles of 160 epochs, for an accelerator. Not yet run.
"""

from ml_collections import ConfigDict

from configs.protocol_of_authors import authors_protocol, authors_warmup
from configs.recipes import cifar

STEPS_PER_EPOCH = 563  # 36 000 images in batches of 64, the last of 32


def get_config() -> ConfigDict:
    config = cifar("cifar10")
    config.model.name = "vgg19"
    config.model.head = "imagenet"
    authors_protocol(config)
    config.pruning.criterion = "magnitude_movement"
    config.pruning.scope = "layerwise"
    config.schedule.lower = 0.04
    config.schedule.upper = 0.1
    authors_warmup(config, steps=10_000, steps_per_epoch=STEPS_PER_EPOCH, cut_epoch=14)
    config.schedule.drop_epochs = (80, 120)
    config.training.epochs_per_cycle = 160
    return config
