"""Variants of a config, named behind its colon: a schedule, a way of rewinding, or both."""

from ml_collections import ConfigDict

from silo_jax.studies.candidates import SCHEDULES

REWINDING = ("weights", "lr", "finetune", "reinit")
VARIANTS = (*SCHEDULES, *REWINDING)


def with_variant(config: ConfigDict, variant: str) -> ConfigDict:
    """A config with another schedule, another way of rewinding, or both: "cosine+lr".

    The fixed max_lr of "warmup" and of the other shapes is that of the dense network, SILO's lower
    bound; it is theirs to be tuned, by --config.schedule.upper.

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
