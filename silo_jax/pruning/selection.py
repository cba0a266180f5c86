"""Exact selection of the lowest scores, by counting instead of sorting.

Scores become unsigned integers of the same order, and the integer of a given rank is found by
radix selection. A pass reads each leaf once, wherever its parts lie: leaves are neither
concatenated nor gathered, and what devices exchange is counts.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from silo_jax.pruning.search import Thresholds, search, share_out, sum_by_group


def lowest(
    scores: Sequence[jax.Array],
    alive: Sequence[jax.Array],
    counts: jax.Array,
    *,
    groups: Sequence[int],
    caps: jax.Array,
) -> tuple[list[jax.Array], jax.Array]:
    """Marks the living elements with the lowest scores of each group of leaves.

    Equal scores go in the order of the leaves and of the flat index within a leaf. NaN ranks above
    every number. No leaf gives more than its cap; others of its group then give more.

    Args:
      scores: floating-point arrays, compared as float32 unless all are of one 16-bit type.
      alive: bool arrays of the same shapes; elements that are not alive are never marked.
      counts: how many of each leaf's group to mark, int32 (num_leaves,); if caps allow fewer, so
        many.
      groups: index of each leaf's group.
      caps: how many of a leaf may be marked, int32 (num_leaves,), at most its living elements.

    Returns:
      Bool arrays of the same shapes, and how many are True in each, int32 (num_leaves,).
    """
    keys = _keys(scores, alive)
    num_bits = 8 * keys[0].dtype.itemsize
    counts = jnp.minimum(counts, sum_by_group(caps, groups))

    def keys_below(bounds: jax.Array) -> jax.Array:
        bounds = bounds.astype(keys[0].dtype)
        return count_true(
            [[key < b for b in bound] for key, bound in zip(keys, bounds, strict=True)]
        )

    found = search(keys_below, counts - 1, groups=groups, num_bits=num_bits, caps=caps)
    counts = share_out(counts, found, groups=groups, caps=caps)
    each = range(len(keys))
    fits = (found.below <= counts) & (counts <= found.up_to)
    if len(set(groups)) < len(keys):
        # A leaf at its cap has a threshold of its own.
        found = search(
            keys_below, counts - 1, groups=each, num_bits=num_bits, start=found, skip=fits.all()
        )
    return _mark(keys, found, counts), counts


def count_true(marks: Sequence[Sequence[jax.Array]]) -> jax.Array:
    """How many elements are True: int32 (num_leaves, n), from n arrays for each leaf.

    The arrays of a leaf are counted in one pass over what they are computed from.
    """
    return jnp.stack([_count_in_one_pass(of_leaf) for of_leaf in marks])


def _count_in_one_pass(marks: Sequence[jax.Array]) -> jax.Array:
    ones = tuple(mark.astype(jnp.int32) for mark in marks)
    zeros = (jnp.int32(0),) * len(ones)
    add = lambda left, right: tuple(a + b for a, b in zip(left, right, strict=True))  # noqa: E731
    return jnp.stack(lax.reduce(ones, zeros, add, tuple(range(ones[0].ndim))))


def _mark(keys: list[jax.Array], found: Thresholds, counts: jax.Array) -> list[jax.Array]:
    """Marks all below the threshold, and as many at it as are missing, the first by index."""
    missing = counts - found.below
    takes_all = counts == found.up_to
    leaves = list(zip(keys, found.value.astype(keys[0].dtype), strict=True))

    def ties_before(bounds: jax.Array) -> jax.Array:
        # XLA would take the indices out of the loop and keep them: 4 bytes a weight.
        one, _ = lax.optimization_barrier((jnp.uint32(1), bounds))
        return count_true(
            [
                [(key == threshold) & (_flat_index(key.shape, one) < b) for b in bound]
                for (key, threshold), bound in zip(leaves, bounds, strict=True)
            ]
        )

    num_bits = max(key.size for key in keys).bit_length()
    cutoffs = search(
        ties_before, missing, groups=range(len(keys)), num_bits=num_bits, skip=takes_all.all()
    ).value
    cutoffs = jnp.where(takes_all, jnp.uint32(1 << 31), cutoffs)
    return [
        (key < threshold) | ((key == threshold) & (_flat_index(key.shape) < cutoff))
        for (key, threshold), cutoff in zip(leaves, cutoffs, strict=True)
    ]


def _keys(scores: Sequence[jax.Array], alive: Sequence[jax.Array]) -> list[jax.Array]:
    """The ordered keys of the scores, all of one type; the dead come last."""
    dtypes = {score.dtype for score in scores}
    dtype = dtypes.pop() if len(dtypes) == 1 else jnp.float32
    keys = [ordered_key(score.astype(dtype)) for score in scores]
    last = keys[0].dtype.type(np.iinfo(keys[0].dtype).max)
    return [jnp.where(living, key, last) for key, living in zip(keys, alive, strict=True)]


def ordered_key(score: jax.Array) -> jax.Array:
    """Unsigned integers in the order of floating-point numbers: uint16 for 16 bits, else uint32.

    NaN comes after all numbers, and before the largest integer, which does not occur.
    """
    bits16 = score.dtype.itemsize == 2
    unsigned = jnp.uint16 if bits16 else jnp.uint32
    largest = np.iinfo(unsigned).max
    sign = unsigned(largest // 2 + 1)
    bits = lax.bitcast_convert_type(score if bits16 else score.astype(jnp.float32), unsigned)
    bits = jnp.where(bits == sign, unsigned(0), bits)  # −0 is 0
    ordered = jnp.where(bits >= sign, ~bits, bits | sign)
    return jnp.where(jnp.isnan(score), unsigned(largest - 1), ordered)


def _flat_index(shape: tuple[int, ...], one: jax.Array | int = 1) -> jax.Array:
    """The flat index of every element, uint32; ``one`` is 1."""
    index = jnp.zeros(shape, jnp.uint32)
    for axis, stride in enumerate(np.cumprod((1, *shape[:0:-1]))[::-1]):
        index += lax.broadcasted_iota(jnp.uint32, shape, axis) * (one * jnp.uint32(stride))
    return index
