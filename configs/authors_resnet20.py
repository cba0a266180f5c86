"""Run 0 of the authors' ResNet-20 script on CIFAR-10, protocol authors: their quirks are kept.

    python -m experiments.run --config=configs/authors_resnet20.py --workdir=runs/authors_resnet20

docs/parity.md lists what is reproduced and what is not. Nothing here is comparable with protocol
clean: the best epoch is chosen on the test split, and the official test images are trained on.

25 cycles of 50 epochs. Not yet run.
"""

from ml_collections import ConfigDict

from configs.protocol_of_authors import authors_protocol, authors_warmup
from configs.recipes import cifar

STEPS_PER_EPOCH = 563  # 36 000 images in batches of 64, the last of 32


def get_config() -> ConfigDict:
    config = cifar("cifar10")
    config.model.name = "resnet20"
    # The file with their network is not to be had.
    config.model.shortcut = "identity"
    authors_protocol(config)
    config.pruning.criterion = "movement"
    config.pruning.scope = "global"
    config.pruning.min_kept = 0
    config.schedule.lower = 0.03
    config.schedule.upper = 0.07
    authors_warmup(config, steps=20_000, steps_per_epoch=STEPS_PER_EPOCH, cut_epoch=25)
    config.schedule.drop_epochs = (25, 32)
    config.training.epochs_per_cycle = 50
    return config
