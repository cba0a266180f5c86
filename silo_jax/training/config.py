"""Checks of an experiment's config, before anything is computed, and what follows from it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optax
from ml_collections import ConfigDict

from silo_jax import shapes, silo_peaks
from silo_jax.imported import imported, is_imported
from silo_jax.models import create_model
from silo_jax.rewinding import policies_of_cycles
from silo_jax.training.criterion import needs_reference
from silo_jax.training.fields import check_fields

_MAX_STEPS = 2**31 - 1


@dataclass(frozen=True)
class Durations:
    """The durations of a config in steps."""

    steps_per_cycle: int
    warmup_steps: int
    warmup_cut_step: int | None
    drop_steps: tuple[int, ...]
    rewind_step: int


def check_config(config: ConfigDict) -> None:
    """Checks all that can be checked before the data set is there.

    Raises:
      ValueError: one line with the field, its value and what is allowed.
    """
    fields = flatten(config)
    check_fields(fields)
    create_model(num_classes=2, **config.model)
    _check_checkpoint(config.model.get("checkpoint", ""))
    rewind_policies(config)
    _check_durations(fields)
    _check_lengths(fields)
    _check_gradient_matched(fields)
    _check_streaming(fields)


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
            steps_per_cycle=training.steps_per_cycle,
            warmup_steps=schedule.warmup_steps,
            warmup_cut_step=schedule.warmup_cut_steps or None,
            drop_steps=schedule.drop_steps,
            rewind_step=rewind.step,
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
        warmup_cut_step=round(schedule.warmup_cut_epochs * steps_per_epoch) or None,
        drop_steps=tuple(round(epoch * steps_per_epoch) for epoch in schedule.drop_epochs),
        rewind_step=rewind_step,
    )


def check_against_data(
    config: ConfigDict, lengths: Durations, steps_per_epoch: int, image_shape: tuple[int, ...]
) -> None:
    """Refuses more steps than can be counted, no epoch to choose from, and crops that can miss the
    whole image.

    Raises:
      ValueError: one line with the field, its value and what is allowed.
    """
    num_cycles, side = config.pruning.num_cycles, min(image_shape[:2])
    most = _MAX_STEPS // num_cycles
    if lengths.steps_per_cycle > most:
        unit = "steps" if config.training.steps_per_cycle else "epochs"
        raise ValueError(
            f"training.{unit}_per_cycle: {config.training[f'{unit}_per_cycle']}, "
            f"{lengths.steps_per_cycle} steps; allowed: {most} steps, with {num_cycles} cycles"
        )
    if not config.evaluation.last_epoch and lengths.steps_per_cycle <= steps_per_epoch:
        raise ValueError(
            f"evaluation.last_epoch: False; allowed: True with cycles of {lengths.steps_per_cycle} "
            "steps, a single epoch or less"
        )
    if config.data.crop_padding >= side:
        raise ValueError(
            f"data.crop_padding: {config.data.crop_padding}; allowed: less than the images' {side}"
        )


def rewind_policies(config: ConfigDict) -> tuple[str, ...]:
    """The policy on the way into each cycle but the first."""
    return policies_of_cycles(config.rewind.policy, config.pruning.num_cycles)


def make_shape(config: ConfigDict, lengths: Durations) -> optax.Schedule:
    """The learning rate within a cycle, with peak 1."""
    match config.schedule.shape:
        case "warmup_step_decay":
            return shapes.warmup_step_decay(
                lengths.warmup_steps,
                lengths.drop_steps,
                config.schedule.drop_factor,
                config.schedule.initial_share,
                lengths.warmup_cut_step,
            )
        case "constant":
            return shapes.constant()
        case name if is_imported(name):
            return imported("schedule.shape", name)(lengths.steps_per_cycle)
        case name:
            return getattr(shapes, name)(lengths.steps_per_cycle)


def make_peaks(config: ConfigDict) -> list[float]:
    """max_lr of each cycle, were the learning rate to start afresh in all of them.

    With "gradient_matched" that of the dense network, as the others are measured on the way.
    """
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
        case "gradient_matched":
            return [schedule.lower] * num_cycles
        case _:
            return list(schedule.peaks)


def _check_checkpoint(path: str) -> None:
    if path and not Path(path).is_file():
        raise ValueError(f"model.checkpoint: {path}; allowed: a file, or ''")


def _check_durations(fields: dict[str, Any]) -> None:
    epochs, steps = fields["training.epochs_per_cycle"], fields["training.steps_per_cycle"]
    if (epochs > 0) == (steps > 0):
        raise ValueError(
            f"training.steps_per_cycle: {steps} with training.epochs_per_cycle={epochs}; "
            "allowed: exactly one of the two above 0"
        )
    unit, other = ("epochs", "steps") if epochs else ("steps", "epochs")
    schedule = (f"schedule.{name}_{other}" for name in ("warmup", "warmup_cut", "drop"))
    for name in (*schedule, f"rewind.{other[:-1]}"):
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
    warmup, cut, drops = (fields[f"schedule.{x}_{unit}"] for x in ("warmup", "warmup_cut", "drop"))
    if drops and drops[-1] >= length:
        raise ValueError(f"schedule.drop_{unit}: {drops}; allowed: below the cycle's {length}")
    if cut > warmup:
        raise ValueError(f"schedule.warmup_cut_{unit}: {cut}; allowed: at most the {warmup} of it")
    name, end = ("warmup_cut", cut) if cut else ("warmup", warmup)
    if end > min(drops, default=length):
        most = f"the first drop at {drops[0]}" if drops else f"the cycle's {length}"
        raise ValueError(f"schedule.{name}_{unit}: {end}; allowed: at most {most}")


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
    if not fields["evaluation.last_epoch"]:
        _check_last_epoch(fields)
    for pattern in fields["pruning.prunable"]:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"pruning.prunable: {pattern!r}; allowed: regular expressions ({error})"
            ) from None


def _check_gradient_matched(fields: dict[str, Any]) -> None:
    """Refuses what leaves no max_lr to match, or no images at hand to measure by."""
    if fields["schedule.name"] != "gradient_matched":
        return
    if "finetune" in fields["rewind.policy"]:
        raise ValueError(
            f"schedule.name: 'gradient_matched'; allowed: another, with "
            f"rewind.policy={fields['rewind.policy']!r}"
        )
    if fields["data.image_size"]:
        raise ValueError(
            f"schedule.name: 'gradient_matched'; allowed: another, with "
            f"data.image_size={fields['data.image_size']}"
        )


# What only sets in memory can do, and the values that others have to have.
_IN_MEMORY = {
    "data.test_fraction": 0,
    "evaluation.augment": False,
    "evaluation.drop_last": False,
    "training.drop_last": True,
}


def _check_streaming(fields: dict[str, Any]) -> None:
    if not fields["data.image_size"]:
        if fields["data.workers"]:
            raise ValueError(
                f"data.workers: {fields['data.workers']}; allowed: 0, as data.image_size is 0"
            )
        return
    size = f"data.image_size={fields['data.image_size']}"
    for name, allowed in _IN_MEMORY.items():
        if fields[name] != allowed:
            raise ValueError(f"{name}: {fields[name]}; allowed: {allowed}, with {size}")
    if needs_reference(fields["pruning.criterion"]):
        raise ValueError(
            f"pruning.criterion: {fields['pruning.criterion']!r}; allowed: magnitude or random, "
            f"with {size}"
        )
    if not fields["data.mean"]:
        raise ValueError(f"data.mean: (); allowed: three numbers, with {size}")


def _check_last_epoch(fields: dict[str, Any]) -> None:
    """Refuses that no epoch is left to choose from."""
    if fields["evaluation.select"] == "last":
        raise ValueError(
            "evaluation.last_epoch: False; allowed: True with evaluation.select='last'"
        )
    if fields["training.epochs_per_cycle"] == 1:
        raise ValueError("evaluation.last_epoch: False; allowed: True with a single epoch a cycle")
