"""Rewinding: from the state at the end of a cycle to the one from which the next cycle starts.

Under every policy the learning rate starts afresh, because it is a function of the step in the
cycle; the optimizer's state is made anew; and the masks are those that the cycle's last step has
pruned.
"""

from typing import Any, NamedTuple

import optax

from silo_jax.training.state import TrainState, start_cycle

PyTree = Any

POLICIES = ("weights", "lr")


class RewindPoint(NamedTuple):
    """Weights and BatchNorm statistics as they were at one step of the dense cycle."""

    params: PyTree
    batch_stats: PyTree


def rewind_weights(
    state: TrainState, point: RewindPoint, optimizer: optax.GradientTransformation
) -> TrainState:
    """Weights and BatchNorm statistics go back to the rewind point, under the new masks.

    Args:
      state: at the end of a cycle.
      point: at initialisation, or at step k of the dense cycle.
      optimizer: its state is made anew.

    Returns:
      The state at the next cycle's start; ``params`` equals ``apply_masks(point.params, masks)``.

    References:
      Frankle & Carbin 2019 (arXiv:1803.03635); Frankle et al. 2020 (arXiv:1912.05671).
    """
    return start_cycle(state, optimizer, params=point.params, batch_stats=point.batch_stats)


def rewind_lr(state: TrainState, optimizer: optax.GradientTransformation) -> TrainState:
    """Only the learning rate goes back; weights and BatchNorm statistics are kept.

    Args:
      state: at the end of a cycle.
      optimizer: its state is made anew.

    Returns:
      The state at the next cycle's start; ``params`` equals ``apply_masks(state.params, masks)``.

    References:
      Renda, Frankle & Carbin 2020 (arXiv:2003.02389).
    """
    return start_cycle(state, optimizer, params=state.params, batch_stats=state.batch_stats)
