"""The train step, and the epoch as one program around it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax
from jax.sharding import Mesh

from silo_jax.data import augment, normalize
from silo_jax.distributed import DATA, batch_sharding
from silo_jax.pruning import apply_masks, prune
from silo_jax.schedules import cycle_schedule
from silo_jax.training.criterion import criterion_of_run, needs_reference
from silo_jax.training.state import Sums, TrainState, sums_of

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
      criterion: see `silo_jax.training.criterion`.
      scope: see `silo_jax.prune`.
      min_kept: see `silo_jax.prune`.
      crop_padding: pixels of zero padding for random crops; 0 for none.
      flip: whether images are flipped at random.
      repeat_data: whether every cycle draws images and augmentation as the first one did.
      drop_last: whether images that do not fill a batch sit the epoch out, or make a smaller one.
      zero_is_dead: whether weights that are exactly 0 count as pruned when a cycle ends.
      augment_evaluation: whether images are cropped and flipped in evaluation, too.
      drop_last_evaluation: whether images that do not fill a batch are counted, but as wrong.
      mesh: of several devices, over which batches are split; None on one.
      replica_axis: name of the axis over which the program is mapped by `jax.vmap`; None for one
        network, and for several that are trained one after another.
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
    drop_last: bool = True
    zero_is_dead: bool = False
    augment_evaluation: bool = False
    drop_last_evaluation: bool = False
    mesh: Mesh | None = None
    replica_axis: str | None = None


def learning_rate(recipe: Recipe, state: TrainState) -> jax.Array:
    """The learning rate of the coming step."""
    return cycle_schedule(recipe.shape, state.peaks, recipe.steps_per_cycle)(state.step)


def train_step(recipe: Recipe, state: TrainState, batch: DeviceSplit) -> tuple[TrainState, Sums]:
    """One step on the weights that are left. The last step of a cycle prunes, into ``next_masks``.

    The masks in force stay until the next cycle starts, so that the network which this cycle has
    trained can still be evaluated and kept.
    """
    batch = spread(recipe, batch)
    data_step = _data_step(recipe, state)
    augment_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 1), data_step)
    dropout_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 3), data_step)
    images = augment(augment_rng, batch.images, crop_padding=recipe.crop_padding, flip=recipe.flip)
    images = normalize(images, recipe.mean, recipe.std)

    loss_of = partial(
        batch_loss, recipe, state, images=images, labels=batch.labels, dropout_rng=dropout_rng
    )
    (loss, (logits, batch_stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    # Else XLA reads the masked weights of the forward pass here, besides the weights themselves.
    masks = lax.optimization_barrier(state.masks)
    direction, opt_state = recipe.optimizer.update(
        grads, state.opt_state, state.params, masks=masks
    )
    lr = learning_rate(recipe, state)
    params = jax.tree.map(lambda weight, move: weight - lr * move, state.params, direction)

    next_masks = lax.cond(
        (_furthest_step(recipe, state) + 1) % recipe.steps_per_cycle == 0,
        lambda: _prune(recipe, state, params),
        lambda: state.next_masks,
    )
    state = state.replace(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        next_masks=next_masks,
    )
    return state, sums_of(loss * batch.labels.size, logits, batch.labels)


def batch_loss(
    recipe: Recipe,
    state: TrainState,
    params: PyTree,
    *,
    images: jax.Array,
    labels: jax.Array,
    dropout_rng: jax.Array,
) -> tuple[jax.Array, tuple[jax.Array, PyTree]]:
    """Mean cross-entropy of a batch in training, with the logits and BatchNorm's new statistics.

    Args:
      recipe: what the program is made of.
      state: with the masks and statistics.
      params: weights, masked here.
      images: normalised, float (b, height, width, channels).
      labels: int32 (b,).
      dropout_rng: key of dropout.
    """
    logits, updated = recipe.model.apply(
        state.variables | {"params": apply_masks(params, state.masks)},
        images,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": dropout_rng},
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean(), (logits, updated.get("batch_stats", state.batch_stats))


def spread(recipe: Recipe, batch: PyTree) -> PyTree:
    """The batch, split over the devices; XLA then computes whatever goes over all of it.

    A batch that cannot be split evenly is computed whole on every device.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    if recipe.mesh is None or size % recipe.mesh.shape[DATA]:
        return batch
    return lax.with_sharding_constraint(batch, batch_sharding(recipe.mesh))


def train_epoch(
    recipe: Recipe, state: TrainState, data: DeviceSplit, stop: jax.Array
) -> tuple[TrainState, Sums]:
    """Trains to the end of the epoch, or up to the global step ``stop`` if that comes first.

    Every part of every epoch of every cycle is this one program: where it begins is read off
    ``state.step``, and an epoch in parts is the same as in one, its sums included. Images are drawn
    without replacement in an order that depends on seed, cycle and epoch; what does not fill a
    batch sits the epoch out, or makes a smaller one. After a loss that is not finite no further
    step is taken.
    """
    num_images, batch_size = data.labels.size, recipe.batch_size
    whole_batches, images_over = divmod(num_images, batch_size)
    steps_per_epoch = steps_in_epoch(num_images, batch_size, drop_last=recipe.drop_last)
    cycle, step_in_cycle = jnp.divmod(_data_step(recipe, state), recipe.steps_per_cycle)
    epoch, first = jnp.divmod(step_in_cycle, steps_per_epoch)
    last = jnp.minimum(steps_per_epoch, first + stop - state.step)
    order_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 0), cycle)
    order = jax.random.permutation(jax.random.fold_in(order_rng, epoch), num_images)

    def batch_at(position: jax.Array | int, size: int = batch_size) -> DeviceSplit:
        indices = lax.dynamic_slice_in_dim(order, position * batch_size, size)
        return DeviceSplit(data.images[indices], data.labels[indices])

    state = before = _at_start_of_epoch(recipe, state, is_start=first == 0)
    last_whole = jnp.minimum(last, whole_batches)
    state = _train_while_finite(recipe, state, batch_at, first, last_whole)
    if steps_per_epoch > whole_batches:
        position = first + state.step - before.step
        is_next = (position == whole_batches) & (position < last) & jnp.isfinite(state.sums.loss)
        smaller = batch_at(whole_batches, images_over)
        state = lax.cond(is_next, lambda: _add_step(recipe, state, smaller), lambda: state)
    return state, state.sums


def steps_in_epoch(num_images: int, batch_size: int, *, drop_last: bool) -> int:
    """Steps of an epoch; images that do not fill a batch make one more unless they are dropped."""
    return num_images // batch_size if drop_last else -(-num_images // batch_size)


def train_on_batches(
    recipe: Recipe, state: TrainState, batches: DeviceSplit, num_batches: jax.Array
) -> tuple[TrainState, Sums]:
    """Trains on batches that come from elsewhere, a few at a time.

    The sums go on from those in the state. After a loss that is not finite no further step is
    taken.

    Args:
      recipe: what the program is made of.
      state: before the step of the first batch.
      batches: k batches, images uint8 (k, b, height, width, channels) and labels int32 (k, b).
      num_batches: how many of them are trained on, from the first, int32 scalar.
    """

    def batch_at(position: jax.Array) -> DeviceSplit:
        return DeviceSplit(batches.images[position], batches.labels[position])

    state = _train_while_finite(recipe, state, batch_at, jnp.int32(0), num_batches)
    return state, state.sums


def _train_while_finite(
    recipe: Recipe,
    state: TrainState,
    batch_at: Callable[[jax.Array], DeviceSplit],
    first: jax.Array,
    last: jax.Array,
) -> TrainState:
    """Steps on the batches from ``first`` up to ``last``, not included, adding to the sums."""

    def goes_on(carry: tuple[jax.Array, TrainState]) -> jax.Array:
        position, state = carry
        return (position < last) & jnp.isfinite(state.sums.loss)

    def step(carry: tuple[jax.Array, TrainState]) -> tuple[jax.Array, TrainState]:
        position, state = carry
        return position + 1, _add_step(recipe, state, batch_at(position))

    return lax.while_loop(goes_on, step, (first, state))[1]


def _add_step(recipe: Recipe, state: TrainState, batch: DeviceSplit) -> TrainState:
    """One step, with what it sums up added to the sums in the state."""
    totals = state.sums
    state, sums = train_step(recipe, state, batch)
    loss = sums.loss / batch.labels.size
    return state.replace(
        sums=jax.tree.map(jnp.add, totals, sums),
        last_loss=jnp.where(jnp.isfinite(loss), loss, state.last_loss),
    )


def _at_start_of_epoch(recipe: Recipe, state: TrainState, is_start: jax.Array) -> TrainState:
    """Empty sums, and the weights as the criterion's reference, if an epoch starts here."""
    state = state.replace(sums=jax.tree.map(lambda x: jnp.where(is_start, 0, x), state.sums))
    if not needs_reference(recipe.criterion):
        return state
    choose = partial(jnp.where, is_start)
    return state.replace(reference=jax.tree.map(choose, state.params, state.reference))


def _prune(recipe: Recipe, state: TrainState, params: PyTree) -> PyTree:
    """The masks of the next cycle, from the weights at the end of this one."""
    key = jax.random.fold_in(jax.random.fold_in(state.rng, 4), state.step)
    masks = state.masks
    if recipe.zero_is_dead:
        masks = jax.tree.map(lambda m, w: m & (w != 0) if m.ndim else m, masks, params)
    return prune(
        params,
        masks,
        recipe.prune_fraction,
        criterion=criterion_of_run(recipe.criterion, reference=state.reference, key=key),
        scope=recipe.scope,
        min_kept=recipe.min_kept,
    )


def _furthest_step(recipe: Recipe, state: TrainState) -> jax.Array:
    """The step of the replicas that still train, which are the furthest ones; all prune at once.

    Being the same for all, it keeps `lax.cond` from computing both branches at every step.
    """
    return state.step if recipe.replica_axis is None else lax.pmax(state.step, recipe.replica_axis)


def _data_step(recipe: Recipe, state: TrainState) -> jax.Array:
    """The step by which data is drawn: that of the first cycle where its data is repeated."""
    return state.step % recipe.steps_per_cycle if recipe.repeat_data else state.step
