"""Rewinding: from the state at the end of a cycle to the one from which the next cycle starts.

Every policy is a function on the state. Each of them puts the masks in force that the cycle's last
step has pruned, so weights that are gone are exactly 0, and leaves ``step``, ``rng`` and
``next_masks`` as they are. Unless asked otherwise it makes the optimizer's state anew; with
``reset_optimizer=False`` that is kept, and 0 too where a weight is gone.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import optax

from silo_jax.checks import require_choice
from silo_jax.schedules import cycle_schedule
from silo_jax.training.state import TrainState, start_cycle

PyTree = Any

POLICIES = ("weights", "lr", "finetune", "reinit")


def policies_of_cycles(names: str, num_cycles: int) -> tuple[str, ...]:
    """The policy on the way into cycles 1, 2, …, num_cycles − 1.

    Args:
      names: one for all cycles, or one for each, with commas between them.
      num_cycles: number of cycles, the dense one included.

    Raises:
      ValueError: an unknown name, or another number of names.

    Example:
      >>> policies_of_cycles("lr", num_cycles=4)
      ('lr', 'lr', 'lr')
      >>> policies_of_cycles("weights, lr, finetune", num_cycles=4)
      ('weights', 'lr', 'finetune')
    """
    policies = tuple(name.strip() for name in names.split(","))
    for policy in policies:
        require_choice("rewind.policy", policy, POLICIES)
    if len(policies) == 1:
        return policies * (num_cycles - 1)
    if len(policies) != num_cycles - 1:
        raise ValueError(
            f"rewind.policy: {names!r}; allowed: one name, or one for each of {num_cycles} cycles "
            f"but the first, not {len(policies)}"
        )
    return policies


class RewindPoint(NamedTuple):
    """Weights and BatchNorm statistics as they were at one step of the dense cycle."""

    params: PyTree
    batch_stats: PyTree


def rewind_weights(
    state: TrainState,
    point: RewindPoint,
    optimizer: optax.GradientTransformation,
    *,
    rewind_batch_stats: bool = True,
    reset_optimizer: bool = True,
) -> TrainState:
    """Weights go back to the rewind point, under the new masks; the learning rate starts afresh.

    Args:
      state: at the end of a cycle.
      point: at initialisation, or at step k of the dense cycle.
      optimizer: of which the state is made anew or kept.
      rewind_batch_stats: whether BatchNorm's statistics go back with the weights, or are kept.
      reset_optimizer: whether the optimizer's state is made anew, or kept.

    Returns:
      The state at the next cycle's start. ``params`` equals ``apply_masks(point.params, masks)``;
      ``batch_stats`` equals ``point.batch_stats``, or that of ``state``; ``peaks`` are untouched.

    References:
      Frankle & Carbin 2019 (arXiv:1803.03635); Frankle et al. 2020 (arXiv:1912.05671).
    """
    return start_cycle(
        state,
        optimizer,
        params=point.params,
        batch_stats=point.batch_stats if rewind_batch_stats else state.batch_stats,
        reset_optimizer=reset_optimizer,
    )


def rewind_lr(
    state: TrainState, optimizer: optax.GradientTransformation, *, reset_optimizer: bool = True
) -> TrainState:
    """Only the learning rate goes back; weights and BatchNorm statistics are kept.

    Args:
      state: at the end of a cycle.
      optimizer: of which the state is made anew or kept.
      reset_optimizer: whether the optimizer's state is made anew, or kept.

    Returns:
      The state at the next cycle's start. ``params`` equals ``apply_masks(state.params, masks)``;
      ``batch_stats`` and ``peaks`` are untouched.

    References:
      Renda, Frankle & Carbin 2020 (arXiv:2003.02389).
    """
    return start_cycle(
        state,
        optimizer,
        params=state.params,
        batch_stats=state.batch_stats,
        reset_optimizer=reset_optimizer,
    )


def finetune(
    state: TrainState,
    last_lr: jax.Array | float,
    optimizer: optax.GradientTransformation,
    *,
    steps_per_cycle: int,
    reset_optimizer: bool = True,
) -> TrainState:
    """Nothing goes back: weights are kept, and the learning rate stays at its last value.

    In the recipe the coming cycle has the shape ``constant``; its peak becomes the learning rate of
    the step before it.

    Args:
      state: at the end of a cycle.
      last_lr: learning rate of the cycle's last step.
      optimizer: of which the state is made anew or kept.
      steps_per_cycle: steps in a cycle.
      reset_optimizer: whether the optimizer's state is made anew, or kept.

    Returns:
      The state at the next cycle's start. ``params`` equals ``apply_masks(state.params, masks)``;
      ``peaks`` has ``last_lr`` for the coming cycle; ``batch_stats`` are untouched.

    References:
      Han et al. 2015 (arXiv:1506.02626); Renda, Frankle & Carbin 2020 (arXiv:2003.02389).
    """
    peaks = state.peaks.at[state.step // steps_per_cycle].set(last_lr)
    return rewind_lr(state.replace(peaks=peaks), optimizer, reset_optimizer=reset_optimizer)


def reinit(
    state: TrainState,
    init: Callable[[jax.Array], tuple[PyTree, PyTree]],
    optimizer: optax.GradientTransformation,
    *,
    rewind_batch_stats: bool = True,
    reset_optimizer: bool = True,
) -> TrainState:
    """Fresh random weights under the new masks, the control; the learning rate starts afresh.

    They are drawn from ``fold_in(fold_in(rng, 2), step)``: by the seed and the cycle alone, so that
    a run that was stopped draws them again.

    Args:
      state: at the end of a cycle.
      init: gives weights and BatchNorm statistics of a new network from a random key.
      optimizer: of which the state is made anew or kept.
      rewind_batch_stats: whether BatchNorm's statistics are those of the new network, or kept.
      reset_optimizer: whether the optimizer's state is made anew, or kept.

    Returns:
      The state at the next cycle's start. With ``new_params, new_stats = init(key)``, ``params``
      equals ``apply_masks(new_params, masks)``; ``batch_stats`` equals ``new_stats``, or that of
      ``state``; ``peaks`` are untouched.

    References:
      Frankle & Carbin 2019 (arXiv:1803.03635), section 2.
    """
    key = jax.random.fold_in(jax.random.fold_in(state.rng, 2), state.step)
    return rewind_weights(
        state,
        RewindPoint(*init(key)),
        optimizer,
        rewind_batch_stats=rewind_batch_stats,
        reset_optimizer=reset_optimizer,
    )


def hold_last_lr(
    shape: optax.Schedule | Sequence[optax.Schedule],
    peaks: Sequence[float],
    steps_per_cycle: int,
    policies: Sequence[str],
) -> list[float]:
    """The peaks that a run will have had: `finetune` replaces the coming cycle's by the last lr.

    Args:
      shape: within a cycle, one a cycle; constant where the policy is "finetune".
      peaks: max_lr of each cycle, ``num_cycles`` of them.
      steps_per_cycle: steps in a cycle.
      policies: applied on the way into cycles 1, 2, …; ``num_cycles − 1`` of them.

    Example:
      >>> from silo_jax import shapes
      >>> decay, hold = shapes.linear_decay(4), shapes.constant()
      >>> peaks = hold_last_lr([decay, hold, decay], [0.4, 0.4, 0.8], 4, ["finetune", "lr"])
      >>> [round(peak, 6) for peak in peaks]
      [0.4, 0.1, 0.8]
    """
    peaks = list(peaks)
    for cycle, policy in enumerate(policies, start=1):
        if policy == "finetune":
            schedule = cycle_schedule(shape, peaks, steps_per_cycle)
            peaks[cycle] = float(schedule(cycle * steps_per_cycle - 1))
    return peaks
