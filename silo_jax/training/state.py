"""The state of a run: everything that training changes, as one pytree."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax.typing import ArrayLike

from silo_jax.models.vit import ViT
from silo_jax.models.vit_checkpoint import load_checkpoint
from silo_jax.pruning import apply_masks, init_masks
from silo_jax.pruning.masks import Prunable, apply_mask
from silo_jax.training.initialization import redraw

PyTree = Any


class Sums(NamedTuple):
    """Sums over examples, from which means are taken on the host."""

    loss: jax.Array
    correct: jax.Array
    examples: jax.Array


Look = Callable[[int, Sums], None]  # at the global step and the sums of an epoch that goes on


def no_sums() -> Sums:
    return Sums(jnp.float32(0), jnp.int32(0), jnp.int32(0))


def sums_of(
    loss: jax.Array, logits: jax.Array, labels: jax.Array, weights: jax.Array | bool = True
) -> Sums:
    """The sums over a batch, without the images of weight False.

    Args:
      loss: summed over the batch, float32 scalar.
      logits: of shape (b, num_classes).
      labels: int32 (b,).
      weights: bool (b,).
    """
    correct = (jnp.argmax(logits, -1) == labels) & weights
    counted = jnp.broadcast_to(weights, labels.shape)
    return Sums(loss, jnp.sum(correct, dtype=jnp.int32), jnp.sum(counted, dtype=jnp.int32))


class TrainState(struct.PyTreeNode):
    """State between two steps. Pruned weights and their momentum are exactly 0 in it.

    Attributes:
      step: global step, int32 scalar; it counts on through all cycles and is never rewound.
      params: weights.
      batch_stats: BatchNorm's running statistics, empty for a network that has none.
      masks: masks in force, bool tree of the structure of ``params``.
      next_masks: masks of the next cycle: those in force until the last step of a cycle prunes.
      opt_state: optimizer state.
      peaks: max_lr of each cycle, shape ``(num_cycles,)``.
      rng: key of data order, augmentation, dropout and new weights; never changed.
      sums: of the current epoch so far; not finite once a loss was not.
      last_loss: mean loss of the last batch for which it was finite, float32 scalar.
      reference: weights at the start of the epoch, where the criterion needs them; else empty.
    """

    step: jax.Array
    params: PyTree
    batch_stats: PyTree
    masks: PyTree
    next_masks: PyTree
    opt_state: PyTree
    peaks: jax.Array
    rng: jax.Array
    sums: Sums
    last_loss: jax.Array
    reference: PyTree

    @property
    def variables(self) -> dict[str, PyTree]:
        """The Flax variables of the network: ``params``, ``batch_stats`` and ``masks``."""
        return {"params": self.params, "batch_stats": self.batch_stats, "masks": self.masks}


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    image_shape: tuple[int, ...],
    peaks: ArrayLike | Sequence[float],
    prunable: Prunable = None,
    initialization: str = "model",
    with_reference: bool = False,
) -> TrainState:
    """The state before the first step: dense network, initialised from the seed or a checkpoint.

    Args:
      model: linen module, called as ``model(images, train)``.
      optimizer: from `silo_jax.training.make_optimizer`.
      seed: of the initialisation, data order and augmentation.
      image_shape: (height, width, channels).
      peaks: max_lr of each cycle, shape ``(num_cycles,)``.
      prunable: which leaves take part in pruning (see `silo_jax.init_masks`).
      initialization: see `init_network`.
      with_reference: whether the criterion needs the weights at the start of the epoch.

    Raises:
      ValueError: ``prunable`` fits no leaf, or the model's checkpoint is not of this model.
    """
    init_rng, train_rng = jax.random.split(jax.random.PRNGKey(seed))
    params, batch_stats = init_network(model, image_shape, init_rng, initialization=initialization)
    if isinstance(model, ViT) and model.checkpoint:
        params = load_checkpoint(
            model.checkpoint, model, params, image_shape=image_shape, new_head=model.new_head
        )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        masks=init_masks(params, prunable),
        next_masks=init_masks(params, prunable),
        opt_state=optimizer.init(params),
        peaks=jnp.array(peaks, jnp.float32),
        rng=train_rng,
        sums=no_sums(),
        last_loss=jnp.full((), jnp.nan, jnp.float32),
        reference=jax.tree.map(jnp.copy, params) if with_reference else {},
    )


@partial(jax.jit, static_argnums=(0, 1), static_argnames="initialization")
def init_network(
    model: nn.Module,
    image_shape: tuple[int, ...],
    rng: jax.Array,
    *,
    initialization: str = "model",
) -> tuple[PyTree, PyTree]:
    """Random weights of a network, and BatchNorm's statistics before any image, from a key.

    With the initialisation "authors", weights are those of `redraw` in place of the model's own.
    """
    variables = model.init(rng, jnp.zeros((1, *image_shape)))
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return redraw(params, rng) if initialization == "authors" else params, batch_stats


def start_cycle(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    *,
    params: PyTree,
    batch_stats: PyTree,
    reset_optimizer: bool = True,
) -> TrainState:
    """The state at the start of the next cycle: new masks over the given weights.

    Args:
      state: at the end of a cycle, when ``next_masks`` are the masks after pruning.
      optimizer: of which the state is made anew or kept.
      params: weights to go on from; masked here.
      batch_stats: statistics to go on from.
      reset_optimizer: whether the optimizer's state is made anew, or kept under the new masks.
    """
    params = apply_masks(params, state.next_masks)
    if reset_optimizer:
        opt_state = optimizer.init(params)
    else:
        opt_state = optax.tree_map_params(optimizer, apply_mask, state.opt_state, state.next_masks)
    return state.replace(
        params=params,
        batch_stats=batch_stats,
        masks=jax.tree.map(jnp.copy, state.next_masks),
        opt_state=opt_state,
    )


def all_finite(state: TrainState) -> jax.Array:
    """Whether the loss of the epoch so far, the weights and BatchNorm's statistics are finite."""
    leaves = jax.tree.leaves((state.sums.loss, state.params, state.batch_stats))
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]))
