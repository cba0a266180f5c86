"""The protocol of the authors' scripts, as fields of a config."""

from ml_collections import ConfigDict


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
