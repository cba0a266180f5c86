"""``round(fraction * count)`` in 32-bit integers, exactly as Python gives it in 64-bit floats.

JAX has no 64-bit numbers unless a global switch is set, and a float32 product is off by whole
weights past 2^24. So the fraction becomes a fixed-point number of two 32-bit words, the product is
formed word by word, and rounding (half to even) treats as one half what a 64-bit float would.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

_HALF = np.uint32(1 << 31)

Words = tuple[jax.Array, jax.Array, jax.Array]


def fixed_point(fraction: ArrayLike) -> Words:
    """The fraction as three uint32 words: units, and two of binary places.

    Args:
      fraction: in [0, 1]; a Python or NumPy number, or a JAX scalar, traced or not, which is
        clipped to that. Below 2^-12 a 64-bit float has more than 64 binary places, and those beyond
        are cut off.
    """
    if isinstance(fraction, jax.Array):
        is_wide = fraction.dtype == jnp.float64
        fraction = jnp.clip(fraction if is_wide else fraction.astype(jnp.float32), 0, 1)
        units = jnp.floor(fraction)
        places = (fraction - units) * 2.0**32
        high = jnp.floor(places)
        low = (places - high) * 2.0**32
        return units.astype(jnp.uint32), high.astype(jnp.uint32), low.astype(jnp.uint32)
    scaled = int(np.asarray(fraction, float).item() * 2.0**64)
    words = (scaled >> 64, (scaled >> 32) % (1 << 32), scaled % (1 << 32))
    return jnp.uint32(words[0]), jnp.uint32(words[1]), jnp.uint32(words[2])


def round_product(fraction: Words, count: jax.Array) -> jax.Array:
    """The integer nearest to ``fraction * count``, ties to even, as uint32.

    Args:
      fraction: from `fixed_point`.
      count: integer scalar in [0, 2^31).
    """
    units, high, low = fraction
    count = count.astype(jnp.uint32)
    whole, part_high = _multiply(count, high)
    carried, part_low = _multiply(count, low)
    part_high = part_high + carried
    whole = whole + (part_high < carried).astype(jnp.uint32) + count * units

    above = part_high >= _HALF
    borrow = (part_low != 0).astype(jnp.uint32)
    distance_high = jnp.where(above, part_high - _HALF, _HALF - part_high - borrow)
    distance_low = jnp.where(above, part_low, ~part_low + 1)
    # Half the last place of a 64-bit float, in units of 2^-64: 2^(number of bits of whole + 10).
    exponent = 42 - jax.lax.clz(whole)
    tie_low = (distance_high == 0) & ((exponent >= 32) | (distance_low <= _two_to(exponent)))
    limit_high = _two_to(exponent - 32)
    tie_high = (exponent >= 32) & (
        (distance_high < limit_high) | ((distance_high == limit_high) & (distance_low == 0))
    )
    return whole + jnp.where(tie_low | tie_high, whole & 1, above.astype(jnp.uint32))


def _two_to(exponent: jax.Array) -> jax.Array:
    return jnp.left_shift(jnp.uint32(1), jnp.clip(exponent.astype(int), 0, 31).astype(jnp.uint32))


def _multiply(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The high and low 32-bit words of the product of two uint32 numbers."""
    a_high, a_low, b_high, b_low = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    low, middle, other = a_low * b_low, a_low * b_high, a_high * b_low
    carry = ((low >> 16) + (middle & 0xFFFF) + (other & 0xFFFF)) >> 16
    return a_high * b_high + (middle >> 16) + (other >> 16) + carry, a * b
