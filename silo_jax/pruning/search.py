"""Integer search for thresholds, one a leaf, shared by the leaves of a group.

How much of a leaf lies below a threshold never falls as the threshold rises. So the largest
threshold at which a group stays within its limit is found digit by digit, two bits a pass.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_MANY = np.int32(2**31 - 1)


class Thresholds(NamedTuple):
    """Thresholds of all leaves, equal within a group, as arrays of shape (num_leaves,).

    Attributes:
      value: the threshold, uint32.
      below: the leaf's amount below the threshold, int32.
      up_to: its amount below the next threshold, int32.
    """

    value: jax.Array
    below: jax.Array
    up_to: jax.Array


def search(
    amount_below: Callable[[jax.Array], jax.Array],
    limits: jax.Array,
    *,
    groups: Sequence[int],
    num_bits: int,
    caps: jax.Array | None = None,
    start: Thresholds | None = None,
    skip: jax.Array | bool = False,
) -> Thresholds:
    """The largest threshold at which each group's amount is within its limit.

    Args:
      amount_below: from thresholds uint32 (num_leaves, 3) to each leaf's amount below them, int32
        of that shape; nothing is below 0.
      limits: of each leaf's group, int32 (num_leaves,).
      groups: index of each leaf's group.
      num_bits: thresholds are below 2 ** num_bits.
      caps: a leaf counts for at most so much, int32 (num_leaves,).
      start: what is returned where the search is skipped.
      skip: whether to skip it; may be traced.
    """
    num_passes = (num_bits + 1) // 2
    none = jnp.zeros_like(limits)
    origin = Thresholds(none.astype(jnp.uint32), none, jnp.full_like(limits, _MANY))
    if start is not None:
        origin = jax.tree.map(lambda kept, new: jnp.where(skip, kept, new), start, origin)

    def settle_two_bits(i: jax.Array, found: Thresholds) -> Thresholds:
        shift = (2 * (num_passes - 1 - i)).astype(jnp.uint32)
        quarters = jnp.arange(1, 4, dtype=jnp.uint32) << shift
        amounts = amount_below(found.value[:, None] | quarters)
        capped = amounts if caps is None else jnp.minimum(amounts, caps[:, None])
        within = sum_by_group(capped, groups) <= limits[:, None]
        return Thresholds(
            value=found.value | (jnp.sum(within, axis=1, dtype=jnp.uint32) << shift),
            below=jnp.maximum(found.below, jnp.max(jnp.where(within, amounts, 0), axis=1)),
            up_to=jnp.minimum(found.up_to, jnp.min(jnp.where(within, _MANY, amounts), axis=1)),
        )

    return lax.fori_loop(0, jnp.where(skip, 0, num_passes), settle_two_bits, origin)


def share_out(
    totals: jax.Array, found: Thresholds, *, groups: Sequence[int], caps: jax.Array
) -> jax.Array:
    """Each leaf's part of its group's total: what lies below the threshold, and of what lies on it
    as much as is missing, leaf by leaf.

    Args:
      totals: of each leaf's group, int32 (num_leaves,), at least what is below the thresholds.
      found: thresholds for limits below the totals.
      groups: index of each leaf's group.
      caps: the most that a leaf can give, int32 (num_leaves,).
    """
    below, up_to = jnp.minimum(found.below, caps), jnp.minimum(found.up_to, caps)
    room = up_to - below
    is_earlier = _same_group(groups) & np.tri(len(groups), k=-1, dtype=bool)
    before = jnp.sum(jnp.where(is_earlier, room, 0), axis=1)
    missing = totals - sum_by_group(below, groups)
    return below + jnp.clip(missing - before, 0, room)


def sum_by_group(values: jax.Array, groups: Sequence[int]) -> jax.Array:
    """Sums over the leaves of each group, given to every leaf of it; shape as the values."""
    same = _same_group(groups).reshape(len(groups), len(groups), *[1] * (values.ndim - 1))
    return jnp.sum(jnp.where(same, values, 0), axis=1)


def _same_group(groups: Sequence[int]) -> np.ndarray:
    return np.equal.outer(groups, groups)
