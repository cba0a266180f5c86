"""Loss and accuracy of a network over a split."""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from silo_jax.data import augment, normalize
from silo_jax.training.state import Sums, TrainState, no_sums, sums_of
from silo_jax.training.step import DeviceSplit, Recipe, spread, steps_in_epoch


def evaluate(recipe: Recipe, batch_size: int, state: TrainState, data: DeviceSplit) -> Sums:
    """Loss and accuracy over all images.

    The last batch is filled up with images that count for nothing; where the recipe drops it, its
    images count as if they were wrong.
    """
    num_images = data.labels.size
    batch_size = min(batch_size, num_images)
    num_batches = steps_in_epoch(num_images, batch_size, drop_last=recipe.drop_last_evaluation)
    positions = jnp.arange(num_batches * batch_size).reshape(num_batches, batch_size)

    def add_batch(totals: Sums, position: jax.Array) -> tuple[Sums, None]:
        indices = jnp.minimum(position, num_images - 1)
        batch = DeviceSplit(data.images[indices], data.labels[indices])
        if recipe.augment_evaluation:
            batch = batch._replace(images=_augmented(recipe, state, batch.images, position[0]))
        return evaluate_batch(recipe, state, totals, batch, position < num_images), None

    totals, _ = lax.scan(add_batch, no_sums(), positions)
    return totals._replace(examples=jnp.int32(num_images))


def evaluate_batch(
    recipe: Recipe, state: TrainState, totals: Sums, batch: DeviceSplit, weights: jax.Array
) -> Sums:
    """Adds the loss and accuracy of one batch, as it is, to the totals.

    Args:
      recipe: what the program is made of.
      state: with the network.
      totals: of the batches before.
      batch: images uint8 (b, height, width, channels) and labels int32 (b,).
      weights: bool (b,): False for images that count for nothing.
    """
    batch, weights = spread(recipe, (batch, weights))
    images = normalize(batch.images, recipe.mean, recipe.std)
    logits = jnp.asarray(recipe.model.apply(state.variables, images, train=False))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
    sums = sums_of(jnp.sum(losses * weights), logits, batch.labels, weights)
    return jax.tree.map(jnp.add, totals, sums)


def _augmented(
    recipe: Recipe, state: TrainState, images: jax.Array, position: jax.Array
) -> jax.Array:
    """Images as training would see them, drawn anew after every epoch."""
    rng = jax.random.fold_in(jax.random.fold_in(state.rng, 5), state.step)
    key = jax.random.fold_in(rng, position)
    return augment(key, images, crop_padding=recipe.crop_padding, flip=recipe.flip)
