"""The train step, and the epoch as one program around it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax

from silo_jax.data import augment, normalize
from silo_jax.pruning import apply_masks, prune
from silo_jax.schedules import cycle_schedule
from silo_jax.training.state import TrainState

PyTree = Any


class DeviceSplit(NamedTuple):
    """A split on the device: images uint8 (n, height, width, channels), labels int32 (n,)."""

    images: jax.Array
    labels: jax.Array


class Sums(NamedTuple):
    """Sums over examples, from which means are taken on the host."""

    loss: jax.Array
    correct: jax.Array
    examples: jax.Array


@dataclass(frozen=True)
class Recipe:
    """What the train program is made of. None of it changes during a run.

    Attributes:
      model: linen module.
      optimizer: from `make_optimizer`.
      shape: schedule with peak 1 within a cycle.
      steps_per_cycle: steps in a cycle.
      batch_size: images in a step.
      mean: per channel, of images scaled to [0, 1].
      std: per channel.
      prune_fraction: share of the remaining weights that goes at the end of a cycle.
      criterion: see `silo_jax.prune`.
      scope: see `silo_jax.prune`.
      min_kept: see `silo_jax.prune`.
      crop_padding: pixels of zero padding for random crops; 0 for none.
      flip: whether images are flipped at random.
    """

    model: nn.Module
    optimizer: optax.GradientTransformationExtraArgs
    shape: optax.Schedule
    steps_per_cycle: int
    batch_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    prune_fraction: float
    criterion: str | Callable[[PyTree], PyTree] = "magnitude"
    scope: str = "global"
    min_kept: int = 1
    crop_padding: int = 0
    flip: bool = False


def learning_rate(recipe: Recipe, state: TrainState) -> jax.Array:
    """The learning rate of the coming step."""
    return cycle_schedule(recipe.shape, state.peaks, recipe.steps_per_cycle)(state.step)


def train_step(recipe: Recipe, state: TrainState, batch: DeviceSplit) -> tuple[TrainState, Sums]:
    """One step on the weights that are left. The last step of a cycle prunes, into ``next_masks``.

    The masks in force stay until the next cycle starts, so that the network which this cycle has
    trained can still be evaluated and kept.
    """
    augment_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 1), state.step)
    images = augment(augment_rng, batch.images, crop_padding=recipe.crop_padding, flip=recipe.flip)
    images = normalize(images, recipe.mean, recipe.std)

    def loss_of(params: PyTree) -> tuple[jax.Array, Any]:
        variables = state.variables | {"params": apply_masks(params, state.masks)}
        logits, updated = recipe.model.apply(variables, images, train=True, mutable=["batch_stats"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        return losses.mean(), (logits, updated.get("batch_stats", state.batch_stats))

    (loss, (logits, batch_stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    direction, opt_state = recipe.optimizer.update(
        grads, state.opt_state, state.params, masks=state.masks
    )
    lr = learning_rate(recipe, state)
    params = jax.tree.map(lambda weight, move: weight - lr * move, state.params, direction)

    next_masks = lax.cond(
        (state.step + 1) % recipe.steps_per_cycle == 0,
        lambda: prune(
            params,
            state.masks,
            recipe.prune_fraction,
            criterion=recipe.criterion,
            scope=recipe.scope,
            min_kept=recipe.min_kept,
        ),
        lambda: state.next_masks,
    )
    state = state.replace(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        next_masks=next_masks,
    )
    return state, _sums(loss * batch.labels.size, logits, batch.labels)


def train_epoch(
    recipe: Recipe, state: TrainState, data: DeviceSplit, stop: jax.Array
) -> tuple[TrainState, Sums]:
    """Trains to the end of the epoch, or up to the global step ``stop`` if that comes first.

    Every epoch of every cycle is this one program: where it begins is read off ``state.step``.
    Images are drawn without replacement in an order that depends on seed, cycle and epoch; what
    does not fill a batch sits the epoch out.
    """
    num_images = data.labels.size
    steps_per_epoch = num_images // recipe.batch_size
    cycle, step_in_cycle = jnp.divmod(state.step, recipe.steps_per_cycle)
    epoch, first = jnp.divmod(step_in_cycle, steps_per_epoch)
    order_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 0), cycle)
    order = jax.random.permutation(jax.random.fold_in(order_rng, epoch), num_images)

    def step(state: TrainState, indices: jax.Array) -> tuple[TrainState, Sums]:
        batch = DeviceSplit(data.images[indices], data.labels[indices])
        return train_step(recipe, state, batch)

    def step_if_due(carry: tuple, position_and_indices: tuple) -> tuple[tuple, None]:
        state, totals = carry
        position, indices = position_and_indices
        due = (position >= first) & (state.step < stop)
        state, sums = lax.cond(due, step, lambda state, _: (state, _no_sums()), state, indices)
        return (state, jax.tree.map(jnp.add, totals, sums)), None

    batches = order[: steps_per_epoch * recipe.batch_size].reshape(steps_per_epoch, -1)
    (state, totals), _ = lax.scan(
        step_if_due, (state, _no_sums()), (jnp.arange(steps_per_epoch), batches)
    )
    return state, totals


def evaluate(recipe: Recipe, batch_size: int, state: TrainState, data: DeviceSplit) -> Sums:
    """Loss and accuracy over all images, without augmentation.

    The last batch is filled up with images that count for nothing.
    """
    num_images = data.labels.size
    batch_size = min(batch_size, num_images)
    num_batches = -(-num_images // batch_size)
    positions = jnp.arange(num_batches * batch_size).reshape(num_batches, batch_size)

    def add_batch(totals: Sums, position: jax.Array) -> tuple[Sums, None]:
        indices = jnp.minimum(position, num_images - 1)
        images = normalize(data.images[indices], recipe.mean, recipe.std)
        logits = jnp.asarray(recipe.model.apply(state.variables, images, train=False))
        weights = position < num_images
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, data.labels[indices])
        sums = _sums(jnp.sum(losses * weights), logits, data.labels[indices], weights)
        return jax.tree.map(jnp.add, totals, sums), None

    return lax.scan(add_batch, _no_sums(), positions)[0]


def _sums(
    loss: jax.Array, logits: jax.Array, labels: jax.Array, weights: jax.Array | bool = True
) -> Sums:
    correct = (jnp.argmax(logits, -1) == labels) & weights
    counted = jnp.broadcast_to(weights, labels.shape)
    return Sums(loss, jnp.sum(correct, dtype=jnp.int32), jnp.sum(counted, dtype=jnp.int32))


def _no_sums() -> Sums:
    return Sums(jnp.float32(0), jnp.int32(0), jnp.int32(0))
