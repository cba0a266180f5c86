"""An experiment: a config brought to life with its data, its recipe and its durations in steps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import optax
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from silo_jax import shapes
from silo_jax.checks import require_choice
from silo_jax.data import EncodedData, ImageData, channel_statistics, load_data, open_data
from silo_jax.data.joined import split_again
from silo_jax.distributed import check_batch_size, make_mesh, place, replicate
from silo_jax.models import create_model
from silo_jax.pruning import layer_counts
from silo_jax.rewinding import hold_last_lr
from silo_jax.training.config import (
    Durations,
    check_against_data,
    check_config,
    durations,
    flatten,
    make_peaks,
    make_shape,
    rewind_policies,
)
from silo_jax.training.criterion import needs_reference
from silo_jax.training.optimizer import make_optimizer
from silo_jax.training.state import TrainState, create_state
from silo_jax.training.step import DeviceSplit, Recipe, steps_in_epoch

CHANGEABLE = (
    "schedule.",
    "rewind.",
    "pruning.",
    "training.optimizer",
    "training.momentum",
    "training.nesterov",
    "training.weight_decay",
)


class DeviceData(NamedTuple):
    """A data set on the device."""

    train: DeviceSplit
    validation: DeviceSplit
    test: DeviceSplit


@dataclass(frozen=True)
class Experiment:
    """A config brought to life: data on the device, the recipe, and its durations in steps."""

    config: ConfigDict
    recipe: Recipe
    lengths: Durations
    steps_per_epoch: int
    image_shape: tuple[int, ...]
    data: DeviceData | EncodedData

    @property
    def num_cycles(self) -> int:
        return self.config.pruning.num_cycles

    @property
    def num_steps(self) -> int:
        return self.num_cycles * self.lengths.steps_per_cycle

    @property
    def epochs_per_cycle(self) -> int:
        """Epochs of a cycle, the last of which may be cut short."""
        return -(-self.lengths.steps_per_cycle // self.steps_per_epoch)

    @property
    def peaks(self) -> list[float]:
        """max_lr of each cycle, as planned."""
        return hold_last_lr(
            self.recipe.shape,
            make_peaks(self.config),
            self.lengths.steps_per_cycle,
            rewind_policies(self.config),
        )

    def with_fields(self, fields: Mapping[str, Any]) -> "Experiment":
        """The same network on the same data, with other values of some fields.

        Args:
          fields: by dotted name; those that start with one of ``CHANGEABLE``.

        Raises:
          ValueError: one line with the field, its value and what is allowed.
        """
        config = self.config.copy_and_resolve_references()
        known = [name for name in flatten(config) if name.startswith(CHANGEABLE)]
        for name, value in fields.items():
            require_choice("field", name, known)
            section, _, field = name.rpartition(".")
            with config[section].ignore_type():
                config[section][field] = value
        check_config(config)
        lengths = durations(config, self.steps_per_epoch)
        check_against_data(config, lengths, self.steps_per_epoch, self.image_shape)
        recipe = self.recipe
        changed = replace(
            self,
            config=config,
            lengths=lengths,
            recipe=_recipe(config, lengths, recipe.model, recipe.mean, recipe.std, recipe.mesh),
        )
        if any(name.startswith("pruning.") for name in fields):
            _check_weights_left(changed)
        return changed

    def create_state(self, seed: int) -> TrainState:
        """The dense network of a seed before its first step."""
        state = create_state(
            self.recipe.model,
            self.recipe.optimizer,
            seed=seed,
            image_shape=self.image_shape,
            peaks=self.peaks,
            prunable=self.config.pruning.prunable or getattr(self.recipe.model, "prunable", None),
            initialization=self.config.training.initialization,
            with_reference=needs_reference(self.config.pruning.criterion),
        )
        return place(self.recipe.mesh, state)

    def start_of_epoch(self, cycle: int, epoch: int) -> int:
        """The step at which an epoch of a cycle starts."""
        return cycle * self.lengths.steps_per_cycle + epoch * self.steps_per_epoch

    def position(self, step: int) -> tuple[int, int, int]:
        """Cycle, epoch within the cycle (from 0), and the step at which that epoch ends."""
        cycle, step_in_cycle = divmod(step, self.lengths.steps_per_cycle)
        epoch = step_in_cycle // self.steps_per_epoch
        end = min((epoch + 1) * self.steps_per_epoch, self.lengths.steps_per_cycle)
        return cycle, epoch, cycle * self.lengths.steps_per_cycle + end


def load_experiment(config: ConfigDict, *, split_batches: bool = True) -> Experiment:
    """Reads the data of a checked config and settles what depends on it.

    Args:
      config: checked.
      split_batches: over the config's devices; if not, each network is trained on one of them.

    Raises:
      ValueError: one line with the field, its value and what is allowed.
    """
    mesh = _mesh(config) if split_batches else None
    data = _load(config)
    num_images = len(data.train)
    if config.training.batch_size > num_images:
        raise ValueError(
            f"training.batch_size: {config.training.batch_size}; allowed: at most the "
            f"{num_images} training images of {config.data.name}"
        )
    steps_per_epoch = steps_in_epoch(
        num_images, config.training.batch_size, drop_last=config.training.drop_last
    )
    lengths = durations(config, steps_per_epoch)
    if isinstance(data, EncodedData):
        image_shape: tuple[int, ...] = (config.data.image_size, config.data.image_size, 3)
    else:
        image_shape = data.train.images.shape[1:]
    check_against_data(config, lengths, steps_per_epoch, image_shape)
    model = create_model(num_classes=data.num_classes, **config.model)
    mean, std = _statistics(config, data, num_channels=image_shape[-1])
    experiment = Experiment(
        config=config,
        recipe=_recipe(config, lengths, model, mean, std, mesh),
        lengths=lengths,
        steps_per_epoch=steps_per_epoch,
        image_shape=image_shape,
        data=data if isinstance(data, EncodedData) else _on_device(data, mesh),
    )
    _check_weights_left(experiment)
    return experiment


def _mesh(config: ConfigDict) -> Mesh | None:
    mesh = make_mesh(config.devices.data, config.devices.model)
    check_batch_size(mesh, "training.batch_size", config.training.batch_size)
    if config.data.image_size:
        check_batch_size(mesh, "training.eval_batch_size", config.training.eval_batch_size)
    return mesh


def _load(config: ConfigDict) -> ImageData | EncodedData:
    arguments = {
        "data_dir": config.data.data_dir or None,
        "cache_dir": config.data.cache_dir or None,
        "validation_fraction": config.data.validation_fraction,
        "split_seed": config.data.split_seed,
        "classes": config.data.classes,
    }
    if config.data.image_size:
        return open_data(config.data.name, **arguments)
    data = load_data(config.data.name, **arguments)
    if not config.data.test_fraction:
        return data
    return split_again(
        data,
        test_fraction=config.data.test_fraction,
        validation_fraction=config.data.validation_fraction,
        seed=config.data.split_seed,
    )


def _check_weights_left(experiment: Experiment) -> None:
    """Refuses cycles with nothing left to train, and prunes that would take nothing."""
    pruning = experiment.config.pruning
    masks = experiment.create_state(experiment.config.seeds[0]).masks
    sizes = [size for size, _ in layer_counts(masks).values()]
    floors = [min(pruning.min_kept, size) for size in sizes]
    if pruning.scope != "layerwise":
        sizes, floors = [sum(sizes)], [sum(floors)]
    left = sizes
    for cycle in range(1, pruning.num_cycles):
        before = left
        left = [
            max(number - round(pruning.fraction * number), floor)
            for number, floor in zip(before, floors, strict=True)
        ]
        if sum(left) == 0 or left == before:
            raise ValueError(
                f"pruning.num_cycles: {pruning.num_cycles}; allowed: at most {cycle}, as after it "
                f"{sum(before)} weights are left, of which pruning.fraction={pruning.fraction} "
                f"with pruning.min_kept={pruning.min_kept} takes {sum(before) - sum(left)}"
            )


def _statistics(
    config: ConfigDict, data: ImageData | EncodedData, num_channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel: the config's, or those of the training images."""
    mean, std = tuple(config.data.mean), tuple(config.data.std)
    if not mean and isinstance(data, ImageData):
        mean, std = (tuple(map(float, s)) for s in channel_statistics(data.train.images))
    if len(mean) != num_channels:
        raise ValueError(f"data.mean: {mean}; allowed: {num_channels} numbers, one a channel")
    return mean, std


def _recipe(
    config: ConfigDict,
    lengths: Durations,
    model: nn.Module,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    mesh: Mesh | None,
) -> Recipe:
    training = config.training
    return Recipe(
        model=model,
        optimizer=make_optimizer(
            training.optimizer,
            weight_decay=training.weight_decay,
            momentum=training.momentum,
            nesterov=training.nesterov,
        ),
        shape=_shape_of_cycles(config, lengths),
        steps_per_cycle=lengths.steps_per_cycle,
        batch_size=training.batch_size,
        mean=mean,
        std=std,
        prune_fraction=config.pruning.fraction,
        criterion=config.pruning.criterion,
        scope=config.pruning.scope,
        min_kept=config.pruning.min_kept,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        repeat_data=config.rewind.data_order,
        drop_last=training.drop_last,
        zero_is_dead=config.pruning.zero_is_dead,
        augment_evaluation=config.evaluation.augment,
        drop_last_evaluation=config.evaluation.drop_last,
        mesh=mesh,
    )


def _shape_of_cycles(config: ConfigDict, lengths: Durations) -> tuple[optax.Schedule, ...]:
    """The shape of each cycle; where the learning rate stays at its last value, a constant."""
    shape, held = make_shape(config, lengths), shapes.constant()
    policies = rewind_policies(config)
    return (shape, *(held if policy == "finetune" else shape for policy in policies))


def _on_device(data: ImageData, mesh: Mesh | None) -> DeviceData:
    splits = (data.train, data.validation, data.test)
    return DeviceData(*(DeviceSplit(*replicate(mesh, (s.images, s.labels))) for s in splits))
