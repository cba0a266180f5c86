"""Checks of an experiment's config, before anything is computed, and what follows from it."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import optax
from ml_collections import ConfigDict

from silo_jax import shapes, silo_peaks
from silo_jax.checks import require_choice
from silo_jax.models import create_model
from silo_jax.pruning import CRITERIA, SCOPES
from silo_jax.rewinding import policies_of_cycles
from silo_jax.training.optimizer import OPTIMIZERS

SHAPES = (
    "constant",
    "linear_decay",
    "cosine_decay",
    "triangular",
    "one_cycle",
    "warmup_step_decay",
)
SCHEDULES = ("silo", "constant", "list")

_CHOICES = {
    "pruning.criterion": CRITERIA,
    "pruning.scope": SCOPES,
    "schedule.name": SCHEDULES,
    "schedule.shape": SHAPES,
    "training.optimizer": OPTIMIZERS,
}


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


_Rule = tuple[Callable[[Any], bool], str]

_TEXT: _Rule = (lambda v: isinstance(v, str), "a string")
_FLAG: _Rule = (lambda v: isinstance(v, bool), "True or False")
_COUNT: _Rule = (lambda v: _is_int(v) and v >= 1, "an integer of at least 1")
_FROM_0: _Rule = (lambda v: _is_int(v) and v >= 0, "an integer of at least 0")
_NOT_NEGATIVE: _Rule = (lambda v: _is_number(v) and 0 <= v < float("inf"), "a number of at least 0")
_SEED: _Rule = (lambda v: _is_int(v) and 0 <= v < 2**32, "an integer from 0 to 2^32 - 1")
_INSIDE: _Rule = (lambda v: _is_number(v) and 0 < v < 1, "a number between 0 and 1, both excluded")
_SHARE: _Rule = (lambda v: _is_number(v) and 0 <= v <= 1, "a number from 0 to 1")

_RULES: dict[str, _Rule] = {
    "seeds": (
        lambda v: len(v) > 0 and _all(_SEED[0])(v) and len(set(v)) == len(v),
        "at least one, each different and from 0 to 2^32 - 1",
    ),
    "data_dir": _TEXT,
    "data.name": _TEXT,
    "data.data_dir": _TEXT,
    "data.cache_dir": _TEXT,
    "data.validation_fraction": _INSIDE,
    "data.split_seed": _SEED,
    "data.mean": (_all(_is_finite), "finite numbers, one a channel, or ()"),
    "data.std": (_all(lambda v: _is_finite(v) and v > 0), "numbers above 0, one a channel, or ()"),
    "data.crop_padding": _FROM_0,
    "data.flip": _FLAG,
    "model.name": _TEXT,
    "pruning.num_cycles": (lambda v: _is_int(v) and 1 <= v <= 10_000, "an integer from 1 to 10000"),
    "pruning.fraction": _INSIDE,
    "pruning.criterion": _TEXT,
    "pruning.scope": _TEXT,
    "pruning.min_kept": _FROM_0,
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
    "training.optimizer": _TEXT,
    "training.momentum": (lambda v: _is_number(v) and 0 <= v < 1, "a number from 0 to below 1"),
    "training.nesterov": _FLAG,
    "training.weight_decay": _NOT_NEGATIVE,
    "training.divergence_retries": _FROM_0,
    "training.divergence_factor": _INSIDE,
}


@dataclass(frozen=True)
class Durations:
    """The durations of a config in steps."""

    steps_per_cycle: int
    warmup_steps: int
    drop_steps: tuple[int, ...]
    rewind_step: int


def check_config(config: ConfigDict) -> None:
    """Checks all that can be checked before the data set is there.

    Raises:
      ValueError: one line with the field, its value and what is allowed.
    """
    fields = flatten(config)
    for name in _RULES:
        if name not in fields:
            raise ValueError(f"{name}: missing; allowed: {_RULES[name][1]} (see configs/base.py)")
    for name, value in fields.items():
        if name in _RULES:
            _check_field(name, value)
        elif not name.startswith("model."):
            require_choice("config field", name, _RULES)
    for name, choices in _CHOICES.items():
        require_choice(name, fields[name], choices)
    create_model(num_classes=2, **config.model)
    rewind_policies(config)
    _check_durations(fields)
    _check_lengths(fields)


def flatten(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """All fields by their dotted names: ``{"pruning.fraction": 0.2, …}``."""
    fields: dict[str, Any] = {}
    for name in config:
        value = config[name]
        if isinstance(value, ConfigDict):
            fields |= flatten(value, f"{prefix}{name}.")
        else:
            fields[f"{prefix}{name}"] = value
    return fields


def durations(config: ConfigDict, steps_per_epoch: int) -> Durations:
    """The durations in steps, whichever unit the config gives them in; epochs are rounded.

    Raises:
      ValueError: the rewind point is rounded to the end of the cycle.
    """
    schedule, training, rewind = config.schedule, config.training, config.rewind
    if training.steps_per_cycle:
        return Durations(
            training.steps_per_cycle, schedule.warmup_steps, schedule.drop_steps, rewind.step
        )
    steps_per_cycle = training.epochs_per_cycle * steps_per_epoch
    rewind_step = round(rewind.epoch * steps_per_epoch)
    if rewind_step >= steps_per_cycle:
        raise ValueError(
            f"rewind.epoch: {rewind.epoch}, step {rewind_step} of the cycle's {steps_per_cycle}; "
            "allowed: a step before the cycle's end"
        )
    return Durations(
        steps_per_cycle=steps_per_cycle,
        warmup_steps=round(schedule.warmup_epochs * steps_per_epoch),
        drop_steps=tuple(round(epoch * steps_per_epoch) for epoch in schedule.drop_epochs),
        rewind_step=rewind_step,
    )


def rewind_policies(config: ConfigDict) -> tuple[str, ...]:
    """The policy on the way into each cycle but the first."""
    return policies_of_cycles(config.rewind.policy, config.pruning.num_cycles)


def make_shape(config: ConfigDict, lengths: Durations) -> optax.Schedule:
    """The learning rate within a cycle, with peak 1."""
    match config.schedule.shape:
        case "warmup_step_decay":
            return shapes.warmup_step_decay(
                lengths.warmup_steps, lengths.drop_steps, config.schedule.drop_factor
            )
        case "constant":
            return shapes.constant()
        case name:
            return getattr(shapes, name)(lengths.steps_per_cycle)


def make_peaks(config: ConfigDict) -> list[float]:
    """max_lr of each cycle, were the learning rate to start afresh in all of them."""
    schedule, num_cycles = config.schedule, config.pruning.num_cycles
    match schedule.name:
        case "silo":
            peaks = silo_peaks(
                num_cycles,
                lower=schedule.lower,
                upper=schedule.upper,
                prune_fraction=config.pruning.fraction,
                steepness=schedule.steepness,
                delay=schedule.delay,
            )
            return [float(peak) for peak in peaks]
        case "constant":
            return [schedule.upper] * num_cycles
        case _:
            return list(schedule.peaks)


def _check_field(name: str, value: Any) -> None:
    is_allowed, allowed = _RULES[name]
    try:
        if is_allowed(value):
            return
    except TypeError:
        pass
    raise ValueError(f"{name}: {value!r}; allowed: {allowed}")


def _check_durations(fields: dict[str, Any]) -> None:
    epochs, steps = fields["training.epochs_per_cycle"], fields["training.steps_per_cycle"]
    if (epochs > 0) == (steps > 0):
        raise ValueError(
            f"training.steps_per_cycle: {steps} with training.epochs_per_cycle={epochs}; "
            "allowed: exactly one of the two above 0"
        )
    unit, other = ("epochs", "steps") if epochs else ("steps", "epochs")
    for name in (f"schedule.warmup_{other}", f"schedule.drop_{other}", f"rewind.{other[:-1]}"):
        if fields[name]:
            raise ValueError(
                f"{name}: {fields[name]}; allowed: durations in {unit}, as the cycle's is"
            )
    length = epochs or steps
    rewind = fields[f"rewind.{unit[:-1]}"]
    if rewind >= length:
        raise ValueError(f"rewind.{unit[:-1]}: {rewind}; allowed: below the cycle's {length}")
    policy = fields["rewind.policy"]
    if rewind and "weights" not in policy:
        raise ValueError(f"rewind.{unit[:-1]}: {rewind}; allowed: 0 with the policy {policy!r}")
    if fields["schedule.shape"] == "warmup_step_decay":
        _check_warmup_and_drops(fields, unit, length)


def _check_warmup_and_drops(fields: dict[str, Any], unit: str, length: int) -> None:
    warmup, drops = fields[f"schedule.warmup_{unit}"], fields[f"schedule.drop_{unit}"]
    if drops and drops[-1] >= length:
        raise ValueError(f"schedule.drop_{unit}: {drops}; allowed: below the cycle's {length}")
    if warmup > min(drops, default=length):
        end = f"the first drop at {drops[0]}" if drops else f"the cycle's {length}"
        raise ValueError(f"schedule.warmup_{unit}: {warmup}; allowed: at most {end}")


def _check_lengths(fields: dict[str, Any]) -> None:
    peaks, num_cycles = fields["schedule.peaks"], fields["pruning.num_cycles"]
    if fields["schedule.name"] == "list" and len(peaks) != num_cycles:
        raise ValueError(f"schedule.peaks: {peaks}; allowed: {num_cycles} numbers, one a cycle")
    if peaks and fields["schedule.name"] != "list":
        raise ValueError(f"schedule.peaks: {peaks}; allowed: () unless schedule.name is 'list'")
    if len(fields["data.mean"]) != len(fields["data.std"]):
        raise ValueError(
            f"data.std: {fields['data.std']}; allowed: as many numbers as data.mean, "
            f"{len(fields['data.mean'])}"
        )
    for pattern in fields["pruning.prunable"]:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"pruning.prunable: {pattern!r}; allowed: regular expressions ({error})"
            ) from None
