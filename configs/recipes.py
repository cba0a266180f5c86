"""Recipes that several experiments share: images, and how networks are trained on them."""

from ml_collections import ConfigDict

from silo_jax.base_config import base_config


def cifar(name: str) -> ConfigDict:
    """CIFAR-10 or CIFAR-100 with crops and flips, and the recipe of the authors for ResNet-20.

    Protocol clean: the set's own test split, a validation split taken from train, and a warm-up
    that completes. Its 20 epochs are this project's own choice, and so are all numbers for other
    networks than the ResNet-20, for which the paper's are not known.
    """
    config = base_config()
    config.data.name = name
    if name == "cifar10":
        config.data.mean = (0.4914, 0.4822, 0.4465)
        config.data.std = (0.2023, 0.1994, 0.2010)
    config.data.crop_padding = 4
    config.data.flip = True
    config.pruning.num_cycles = 25
    config.pruning.fraction = 0.2
    config.schedule.lower = 0.03
    config.schedule.upper = 0.07
    config.schedule.warmup_epochs = 20.0
    config.schedule.drop_epochs = (25, 32)
    config.training.epochs_per_cycle = 50
    config.training.batch_size = 64
    config.training.weight_decay = 5e-4
    return config


def imagenet() -> ConfigDict:
    """imagenet2012, streamed at 224 pixels, in cycles of 90 epochs as its networks are trained.

    Protocol clean: its labelled validation split is the test split here, and a fiftieth of train
    the validation split. max_lr and all else are this project's own choice; the paper's
    hyper-parameters are not known.
    """
    config = base_config()
    config.data.name = "imagenet2012"
    config.data.image_size = 224
    config.data.workers = 16
    config.data.validation_fraction = 0.02
    config.data.mean = (0.485, 0.456, 0.406)
    config.data.std = (0.229, 0.224, 0.225)
    config.data.flip = True
    config.model.dtype = "bfloat16"
    config.pruning.num_cycles = 15
    config.pruning.fraction = 0.2
    config.rewind.policy = "lr"
    config.schedule.lower = 0.4
    config.schedule.upper = 0.8
    config.schedule.warmup_epochs = 5.0
    config.schedule.drop_epochs = (30, 60, 80)
    config.training.epochs_per_cycle = 90
    config.training.batch_size = 1024
    config.training.weight_decay = 1e-4
    return config


def long_cycles(config: ConfigDict) -> None:
    """Cycles of 160 epochs and the bounds that the authors have for VGG-19."""
    config.schedule.lower = 0.04
    config.schedule.upper = 0.1
    config.schedule.warmup_epochs = 14.0
    config.schedule.drop_epochs = (80, 120)
    config.training.epochs_per_cycle = 160
