"""Kernels one after another, as data flows through them, and the norms of what connects them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax.checks import require_choice, shown
from silo_jax.pruning.masks import is_prunable_array, named_leaves

PyTree = Any

# The axes of inputs and outputs in a kernel: (…, in, out), and (out, in, …).
CHANNELS_LAST, CHANNELS_FIRST = (-2, -1), (1, 0)


def kernels_of(chains: Sequence[Sequence[str]], params: PyTree) -> dict[str, jax.Array]:
    """The kernels of all chains by their paths, float32 or wider.

    Raises:
      ValueError: a path that is unknown, repeated or not of a kernel.
    """
    leaves = dict(named_leaves(params))
    kernels: dict[str, jax.Array] = {}
    for chain in chains if np.iterable(chains) else [chains]:
        if isinstance(chain, str) or not np.iterable(chain):
            raise ValueError(f"chains: {shown(chain)}; allowed: sequences of paths")
        for path in chain:
            require_choice("chains", path, leaves)
            leaf = leaves[path]
            if path in kernels:
                raise ValueError(f"chains: {path!r} twice; allowed: every path once")
            if not is_prunable_array(leaf) or leaf.ndim < 2:
                raise ValueError(f"chains: {path!r} is no kernel; allowed: two or more dimensions")
            kernels[path] = widened(leaf)
    return kernels


def connection(
    before: str, after: str, kernels: dict[str, jax.Array], axes: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Norms of what leads into the inputs of ``after``, and out of the outputs of ``before``.

    Each is shaped to be multiplied with the kernel that it is for.

    Raises:
      ValueError: sizes that do not fit.
    """
    left, right = kernels[before], kernels[after]
    input_axis, output_axis = axes
    num_channels, num_inputs = left.shape[output_axis], right.shape[input_axis]
    is_flattened = left.ndim > 2 and right.ndim == 2 and num_inputs % num_channels == 0
    if num_inputs != num_channels and not is_flattened:
        raise ValueError(
            f"chains: {before} has {num_channels} outputs, but {after} has {num_inputs} inputs;"
            " allowed: as many, or a multiple where a dense layer follows a convolution"
        )
    # The inputs of ``after`` as a table of pixels and channels, in the order of flattening.
    pixel_axis, table = 0, (-1, num_channels)
    if tuple(axes) == CHANNELS_FIRST:
        pixel_axis, table = 1, (num_channels, -1)
    squares_out = _squares(right, input_axis).reshape(table)
    squares_in = jnp.expand_dims(_squares(left, output_axis), pixel_axis)
    squares_in = jnp.broadcast_to(squares_in, squares_out.shape)
    return (
        _along(input_axis, right.ndim, jnp.sqrt(squares_in).ravel()),
        _along(output_axis, left.ndim, jnp.sqrt(squares_out.sum(pixel_axis))),
    )


def _squares(kernel: jax.Array, axis: int) -> jax.Array:
    """The sum of squares of every slice along the axis."""
    return jnp.square(jnp.moveaxis(kernel, axis, 0)).reshape(kernel.shape[axis], -1).sum(1)


def _along(axis: int, ndim: int, vector: jax.Array) -> jax.Array:
    shape = [1] * ndim
    shape[axis] = vector.size
    return vector.reshape(shape)


def widened(leaf: Any) -> jax.Array:
    """The leaf as float32, or wider where it is."""
    return jnp.asarray(leaf).astype(jnp.promote_types(leaf.dtype, jnp.float32))
