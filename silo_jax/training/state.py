"""The state of a run: everything that training changes, as one pytree."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax.typing import ArrayLike

from silo_jax.pruning import apply_masks, init_masks
from silo_jax.pruning.masks import Prunable

PyTree = Any


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
      rng: key from which data order and augmentation are drawn, by cycle, epoch and step.
    """

    step: jax.Array
    params: PyTree
    batch_stats: PyTree
    masks: PyTree
    next_masks: PyTree
    opt_state: PyTree
    peaks: jax.Array
    rng: jax.Array

    @property
    def variables(self) -> dict[str, PyTree]:
        """The Flax variables of the network: ``params``, ``batch_stats`` and ``masks``."""
        return {"params": self.params, "batch_stats": self.batch_stats, "masks": self.masks}


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    image_shape: tuple[int, int, int],
    peaks: ArrayLike | Sequence[float],
    prunable: Prunable = None,
) -> TrainState:
    """The state before the first step: dense network, initialised from the seed.

    Args:
      model: linen module, called as ``model(images, train)``.
      optimizer: from `silo_jax.training.make_optimizer`.
      seed: of the initialisation, data order and augmentation.
      image_shape: (height, width, channels).
      peaks: max_lr of each cycle, shape ``(num_cycles,)``.
      prunable: which leaves take part in pruning (see `silo_jax.init_masks`).

    Raises:
      ValueError: ``prunable`` fits no leaf.
    """
    init_rng, train_rng = jax.random.split(jax.random.PRNGKey(seed))
    variables = _init(model, init_rng, image_shape)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        masks=init_masks(params, prunable),
        next_masks=init_masks(params, prunable),
        opt_state=optimizer.init(params),
        peaks=jnp.array(peaks, jnp.float32),
        rng=train_rng,
    )


@partial(jax.jit, static_argnums=(0, 2))
def _init(model: nn.Module, rng: jax.Array, image_shape: tuple[int, int, int]) -> Any:
    return model.init(rng, jnp.zeros((1, *image_shape)))


def start_cycle(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    *,
    params: PyTree,
    batch_stats: PyTree,
) -> TrainState:
    """The state at the start of the next cycle: new masks over the given weights, fresh momentum.

    Args:
      state: at the end of a cycle, when ``next_masks`` are the masks after pruning.
      optimizer: its state is made anew.
      params: weights to go on from; masked here.
      batch_stats: statistics to go on from.
    """
    params = apply_masks(params, state.next_masks)
    return state.replace(
        params=params,
        batch_stats=batch_stats,
        masks=jax.tree.map(jnp.copy, state.next_masks),
        opt_state=optimizer.init(params),
    )
