"""The fields of a config, and the values that each may have by itself."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from silo_jax.checks import require_choice
from silo_jax.imported import imported, is_imported
from silo_jax.pruning import SCOPES
from silo_jax.training.criterion import CRITERIA
from silo_jax.training.initialization import INITIALIZATIONS
from silo_jax.training.optimizer import OPTIMIZERS
from silo_jax.training.scoring import SELECTIONS

SHAPES = (
    "constant",
    "linear_decay",
    "cosine_decay",
    "triangular",
    "one_cycle",
    "warmup_step_decay",
)
SCHEDULES = ("silo", "constant", "gradient_matched", "list")

CHOICES = {
    "evaluation.select": SELECTIONS,
    "pruning.criterion": CRITERIA,
    "pruning.scope": SCOPES,
    "schedule.name": SCHEDULES,
    "schedule.shape": SHAPES,
    "training.initialization": INITIALIZATIONS,
    "training.optimizer": OPTIMIZERS,
}
# Those that may also be ``module:name`` of the user's own.
_OPEN = ("pruning.criterion", "schedule.shape")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)


def _all(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: all(check(value) for value in values)


def _ascending(values: tuple) -> bool:
    return all(a < b for a, b in pairwise(values))


Rule = tuple[Callable[[Any], bool], str]

_TEXT: Rule = (lambda v: isinstance(v, str), "a string")
_FLAG: Rule = (lambda v: isinstance(v, bool), "True or False")
_COUNT: Rule = (lambda v: _is_int(v) and v >= 1, "an integer of at least 1")
_FROM_0: Rule = (lambda v: _is_int(v) and v >= 0, "an integer of at least 0")
_NOT_NEGATIVE: Rule = (lambda v: _is_number(v) and 0 <= v < float("inf"), "a number of at least 0")
_SEED: Rule = (lambda v: _is_int(v) and 0 <= v < 2**32, "an integer from 0 to 2^32 - 1")
_INSIDE: Rule = (lambda v: _is_number(v) and 0 < v < 1, "a number between 0 and 1, both excluded")
_BELOW_1: Rule = (lambda v: _is_number(v) and 0 <= v < 1, "a number from 0 to below 1")
_SHARE: Rule = (lambda v: _is_number(v) and 0 <= v <= 1, "a number from 0 to 1")

RULES: dict[str, Rule] = {
    "seeds": (
        lambda v: len(v) > 0 and _all(_SEED[0])(v) and len(set(v)) == len(v),
        "at least one, each different and from 0 to 2^32 - 1",
    ),
    "data_dir": _TEXT,
    "data.name": _TEXT,
    "data.data_dir": _TEXT,
    "data.cache_dir": _TEXT,
    "data.image_size": _FROM_0,
    "data.min_area": (lambda v: _is_number(v) and 0 < v <= 1, "a number above 0, up to 1"),
    "data.workers": _FROM_0,
    "data.classes": _TEXT,
    "data.test_fraction": _BELOW_1,
    "data.validation_fraction": _INSIDE,
    "data.split_seed": _SEED,
    "data.mean": (_all(_is_finite), "finite numbers, one a channel, or ()"),
    "data.std": (_all(lambda v: _is_finite(v) and v > 0), "numbers above 0, one a channel, or ()"),
    "data.crop_padding": _FROM_0,
    "data.flip": _FLAG,
    "devices.data": _FROM_0,
    "devices.model": _COUNT,
    "evaluation.augment": _FLAG,
    "evaluation.drop_last": _FLAG,
    "evaluation.select": _TEXT,
    "evaluation.last_epoch": _FLAG,
    "model.name": _TEXT,
    "pruning.num_cycles": (lambda v: _is_int(v) and 1 <= v <= 10_000, "an integer from 1 to 10000"),
    "pruning.fraction": _INSIDE,
    "pruning.criterion": _TEXT,
    "pruning.scope": _TEXT,
    "pruning.min_kept": _FROM_0,
    "pruning.zero_is_dead": _FLAG,
    "pruning.prunable": (_all(_TEXT[0]), "regular expressions, or ()"),
    "rewind.policy": _TEXT,
    "rewind.epoch": _NOT_NEGATIVE,
    "rewind.step": _FROM_0,
    "rewind.batch_stats": _FLAG,
    "rewind.optimizer": _FLAG,
    "rewind.data_order": _FLAG,
    "schedule.name": _TEXT,
    "schedule.lower": _NOT_NEGATIVE,
    "schedule.upper": _NOT_NEGATIVE,
    "schedule.steepness": (lambda v: _is_number(v) and 0 < v < float("inf"), "a number above 0"),
    "schedule.delay": _FROM_0,
    "schedule.peaks": (_all(_NOT_NEGATIVE[0]), "numbers of at least 0"),
    "schedule.shape": _TEXT,
    "schedule.warmup_epochs": _NOT_NEGATIVE,
    "schedule.warmup_steps": _FROM_0,
    "schedule.initial_share": _SHARE,
    "schedule.warmup_cut_epochs": _NOT_NEGATIVE,
    "schedule.warmup_cut_steps": _FROM_0,
    "schedule.drop_epochs": (
        lambda v: _all(_NOT_NEGATIVE[0])(v) and _ascending(v),
        "ascending numbers of at least 0",
    ),
    "schedule.drop_steps": (
        lambda v: _all(_FROM_0[0])(v) and _ascending(v),
        "ascending integers of at least 0",
    ),
    "schedule.drop_factor": _SHARE,
    "checkpoints.keep": _COUNT,
    "training.epochs_per_cycle": _FROM_0,
    "training.steps_per_cycle": _FROM_0,
    "training.batch_size": _COUNT,
    "training.eval_batch_size": _COUNT,
    "training.drop_last": _FLAG,
    "training.initialization": _TEXT,
    "training.optimizer": _TEXT,
    "training.momentum": _BELOW_1,
    "training.nesterov": _FLAG,
    "training.weight_decay": _NOT_NEGATIVE,
    "training.divergence_retries": _FROM_0,
    "training.divergence_factor": _INSIDE,
}


def check_fields(fields: dict[str, Any]) -> None:
    """Refuses fields that are missing, unknown or of a wrong value; `model.` may have any.

    Args:
      fields: by their dotted names.

    Raises:
      ValueError: one line with the field, its value and what is allowed.
    """
    for name in RULES:
        if name not in fields:
            raise ValueError(
                f"{name}: missing; allowed: {RULES[name][1]} (see silo_jax/base_config.py)"
            )
    for name, value in fields.items():
        if name in RULES:
            _check_field(name, value)
        elif not name.startswith("model."):
            require_choice("config field", name, RULES)
    for name, choices in CHOICES.items():
        if name in _OPEN and is_imported(fields[name]):
            imported(name, fields[name])
        else:
            require_choice(name, fields[name], choices)


def _check_field(name: str, value: Any) -> None:
    is_allowed, allowed = RULES[name]
    try:
        if is_allowed(value):
            return
    except TypeError:
        pass
    raise ValueError(f"{name}: {value!r}; allowed: {allowed}")
