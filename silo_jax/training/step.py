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
from silo_jax.training.state import Sums, TrainState, no_sums

PyTree = Any


class DeviceSplit(NamedTuple):
    """A split on the device: images uint8 (n, height, width, channels), labels int32 (n,)."""

    images: jax.Array
    labels: jax.Array


@dataclass(frozen=True)
class Recipe:
    """What the train program is made of. None of it changes during a run.

    Attributes:
      model: linen module.
      optimizer: from `make_optimizer`.
      shape: schedule with peak 1 within a cycle; one for all cycles, or one a cycle.
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
      repeat_data: whether every cycle draws images and augmentation as the first one did.
    """

    model: nn.Module
    optimizer: optax.GradientTransformationExtraArgs
    shape: optax.Schedule | tuple[optax.Schedule, ...]
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
    repeat_data: bool = False


def learning_rate(recipe: Recipe, state: TrainState) -> jax.Array:
    """The learning rate of the coming step."""
    return cycle_schedule(recipe.shape, state.peaks, recipe.steps_per_cycle)(state.step)


def train_step(recipe: Recipe, state: TrainState, batch: DeviceSplit) -> tuple[TrainState, Sums]:
    """One step on the weights that are left. The last step of a cycle prunes, into ``next_masks``.

    The masks in force stay until the next cycle starts, so that the network which this cycle has
    trained can still be evaluated and kept.
    """
    augment_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 1), _data_step(recipe, state))
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

    Every part of every epoch of every cycle is this one program: where it begins is read off
    ``state.step``, and an epoch in parts is the same as in one, its sums included. Images are drawn
    without replacement in an order that depends on seed, cycle and epoch; what does not fill a
    batch sits the epoch out. After a loss that is not finite no further step is taken.
    """
    num_images, batch_size = data.labels.size, recipe.batch_size
    steps_per_epoch = num_images // batch_size
    cycle, step_in_cycle = jnp.divmod(_data_step(recipe, state), recipe.steps_per_cycle)
    epoch, first = jnp.divmod(step_in_cycle, steps_per_epoch)
    last = jnp.minimum(steps_per_epoch, first + stop - state.step)
    order_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 0), cycle)
    order = jax.random.permutation(jax.random.fold_in(order_rng, epoch), num_images)
    so_far = jax.tree.map(lambda total: jnp.where(first == 0, 0, total), state.sums)

    def goes_on(carry: tuple[jax.Array, TrainState]) -> jax.Array:
        position, state = carry
        return (position < last) & jnp.isfinite(state.sums.loss)

    def step(carry: tuple[jax.Array, TrainState]) -> tuple[jax.Array, TrainState]:
        position, state = carry
        indices = lax.dynamic_slice_in_dim(order, position * batch_size, batch_size)
        totals, batch = state.sums, DeviceSplit(data.images[indices], data.labels[indices])
        state, sums = train_step(recipe, state, batch)
        loss = sums.loss / batch_size
        return position + 1, state.replace(
            sums=jax.tree.map(jnp.add, totals, sums),
            last_loss=jnp.where(jnp.isfinite(loss), loss, state.last_loss),
        )

    _, state = lax.while_loop(goes_on, step, (first, state.replace(sums=so_far)))
    return state, state.sums


def all_finite(state: TrainState) -> jax.Array:
    """Whether the loss of the epoch so far, the weights and BatchNorm's statistics are finite."""
    leaves = jax.tree.leaves((state.sums.loss, state.params, state.batch_stats))
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]))


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

    return lax.scan(add_batch, no_sums(), positions)[0]


def _data_step(recipe: Recipe, state: TrainState) -> jax.Array:
    """The step by which data is drawn: that of the first cycle where its data is repeated."""
    return state.step % recipe.steps_per_cycle if recipe.repeat_data else state.step


def _sums(
    loss: jax.Array, logits: jax.Array, labels: jax.Array, weights: jax.Array | bool = True
) -> Sums:
    correct = (jnp.argmax(logits, -1) == labels) & weights
    counted = jnp.broadcast_to(weights, labels.shape)
    return Sums(loss, jnp.sum(correct, dtype=jnp.int32), jnp.sum(counted, dtype=jnp.int32))
