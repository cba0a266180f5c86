"""What several experiments share: images, the recipe of CIFAR, variants, the authors' protocol."""

from ml_collections import ConfigDict

from silo_jax.base_config import base_config

# What a variant changes. The fixed max_lr of "warmup" and of the other shapes is that of the dense
# network, SILO's lower bound; it is theirs to be tuned, by --config.schedule.upper.
SCHEDULES = {
    "silo": ("silo", "warmup_step_decay"),
    "warmup": ("constant", "warmup_step_decay"),
    "gradient_matched": ("gradient_matched", "warmup_step_decay"),
    "constant": ("constant", "constant"),
    "linear": ("constant", "linear_decay"),
    "cosine": ("constant", "cosine_decay"),
    "cyclical": ("constant", "triangular"),
    "one_cycle": ("constant", "one_cycle"),
}
REWINDING = ("weights", "lr", "finetune", "reinit")
VARIANTS = (*SCHEDULES, *REWINDING)


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


def with_variant(config: ConfigDict, variant: str) -> ConfigDict:
    """A config with another schedule, another way of rewinding, or both: "cosine+lr".

    Raises:
      ValueError: a name that is none of ``VARIANTS``, or two of a kind.
    """
    names = variant.split("+") if variant else []
    for name in names:
        if name not in VARIANTS:
            raise ValueError(f"variant: {name!r}; allowed: {', '.join(VARIANTS)}")
    for kind in (SCHEDULES, REWINDING):
        if len([name for name in names if name in kind]) > 1:
            raise ValueError(f"variant: {variant!r}; allowed: one of {', '.join(kind)}")
    for name in names:
        if name in REWINDING:
            config.rewind.policy = name
        else:
            config.schedule.name, config.schedule.shape = SCHEDULES[name]
            if name != "silo":
                config.schedule.upper = config.schedule.lower
    return config


def authors_protocol(config: ConfigDict) -> None:
    """What both scripts of the authors have in common; docs/parity.md goes through it."""
    config.data.test_fraction = 0.2
    config.data.validation_fraction = 0.25
    config.evaluation.augment = True
    config.evaluation.drop_last = True
    config.evaluation.select = "best_test"
    config.evaluation.last_epoch = False
    config.pruning.zero_is_dead = True
    config.pruning.prunable = ("kernel$", "scale$")
    config.rewind.policy = "reinit"
    config.rewind.batch_stats = False
    config.rewind.optimizer = True
    config.training.drop_last = False
    config.training.eval_batch_size = config.training.batch_size
    config.training.initialization = "authors"


def authors_warmup(config: ConfigDict, *, steps: int, steps_per_epoch: int, cut_epoch: int) -> None:
    """A ramp of max_lr / steps a step, counted from 1, that is left at the start of an epoch."""
    config.schedule.initial_share = 1 / steps
    config.schedule.warmup_epochs = (steps - 1) / steps_per_epoch
    config.schedule.warmup_cut_epochs = float(cut_epoch)
