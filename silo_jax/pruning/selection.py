"""Exact selection of the lowest scores, by counting instead of sorting.

Scores become unsigned integers of the same order, and the integer of a given rank is found by
radix selection: two binary digits a pass, each pass a count over all leaves, which are never
concatenated.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

_DEAD = np.uint32(0xFFFF_FFFF)
_LARGEST_ALIVE = np.uint32(0xFFFF_FFFE)
_SIGN = np.uint32(0x8000_0000)

Counter = Callable[[list[jax.Array]], list[jax.Array]]


def lowest(
    scores: Sequence[jax.Array], alive: Sequence[jax.Array], count: jax.Array
) -> list[jax.Array]:
    """Marks the ``count`` living elements with the lowest scores, over all leaves together.

    Equal scores go in the order of the leaves and of the flat index within a leaf. NaN ranks above
    every number.

    Args:
      scores: floating-point arrays.
      alive: bool arrays of the same shapes; elements that are not alive are never marked.
      count: integer scalar, at most the number of living elements.

    Returns:
      Bool arrays of the same shapes, True at exactly ``count`` elements.
    """
    count = count.astype(jnp.int32)
    keys = [_ordered_key(score, living) for score, living in zip(scores, alive, strict=True)]
    threshold = _of_rank(lambda bounds: _count_below(keys, bounds), count - 1, num_bits=32)

    at_threshold = [key == threshold for key in keys]
    below = sum(jnp.sum(key < threshold, dtype=jnp.int32) for key in keys)
    indices = _flat_indices([score.shape for score in scores])
    num_elements = sum(score.size for score in scores)
    ties = [jnp.where(at, index, _DEAD) for at, index in zip(at_threshold, indices, strict=True)]
    cutoff = _of_rank(
        lambda bounds: _count_below(ties, bounds), count - below, num_bits=num_elements.bit_length()
    )
    return [(key < threshold) | (tie < cutoff) for key, tie in zip(keys, ties, strict=True)]


def _ordered_key(score: jax.Array, alive: jax.Array) -> jax.Array:
    """uint32 in the order of the scores; the dead come last, and NaN just before them."""
    bits = jax.lax.bitcast_convert_type(score.astype(jnp.float32), jnp.uint32)
    bits = jnp.where(bits == _SIGN, jnp.uint32(0), bits)  # −0 is 0
    ordered = jnp.where(bits >= _SIGN, ~bits, bits | _SIGN)
    return jnp.where(alive, jnp.where(jnp.isnan(score), _LARGEST_ALIVE, ordered), _DEAD)


def _of_rank(count_below: Counter, rank: jax.Array, num_bits: int) -> jax.Array:
    """The largest v of ``num_bits`` bits such that at most ``rank`` values lie below it.

    For a rank of 0 or more that is the value of that rank, counted from 0. Two bits are settled a
    pass, from the three bounds that divide what is left into quarters.
    """
    num_passes = (num_bits + 1) // 2

    def settle_two_bits(i: jax.Array, value: jax.Array) -> jax.Array:
        shift = (2 * (num_passes - 1 - i)).astype(jnp.uint32)
        bounds = [value | (jnp.uint32(digit) << shift) for digit in (1, 2, 3)]
        below = jnp.stack(count_below(bounds))
        digit = jnp.sum(below <= rank, dtype=jnp.uint32)
        return value | (digit << shift)

    return jax.lax.fori_loop(0, num_passes, settle_two_bits, jnp.uint32(0))


def _count_below(values: list[jax.Array], bounds: list[jax.Array]) -> list[jax.Array]:
    """How many elements lie below each bound; the values are read once for all bounds."""
    zeros = (jnp.int32(0),) * len(bounds)
    totals = zeros
    for value in values:
        is_below = tuple((value < bound).astype(jnp.int32) for bound in bounds)
        counts = jax.lax.reduce(is_below, zeros, _add, tuple(range(value.ndim)))
        totals = _add(totals, counts)
    return list(totals)


def _add(left: tuple, right: tuple) -> tuple:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _flat_indices(shapes: Sequence[tuple[int, ...]]) -> list[jax.Array]:
    """For each leaf the position of every element in the concatenation of all leaves, uint32."""
    indices, start = [], 0
    for shape in shapes:
        index = jnp.full(shape, np.uint32(start))
        for axis, stride in enumerate(np.cumprod((1, *shape[:0:-1]))[::-1]):
            index += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * np.uint32(stride)
        indices.append(index)
        start += int(np.prod(shape))
    return indices
