"""Kernels as BCOO matrices of `jax.experimental.sparse`, kept as safetensors."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.experimental import sparse
from jax.typing import ArrayLike

from silo_jax.data import normalize
from silo_jax.exporting.description import (
    as_tree,
    describe,
    model_of,
    named_arrays,
    read_arrays,
    write_arrays,
)
from silo_jax.exporting.network import TrainedNetwork

PyTree = Any


def write(network: TrainedNetwork, path: Path) -> None:
    """Writes ``NAME.data`` and ``NAME.indices``, int32 (kept, dimensions), for pruned leaves."""
    masks = named_arrays({"params": network.masks})
    arrays, shapes = {}, {}
    for name, leaf in named_arrays(network.variables).items():
        mask = masks.get(name, np.array(True))
        if mask.ndim == 0:
            arrays[name] = leaf
        else:
            shapes[name] = leaf.shape
            arrays[f"{name}.data"] = leaf[mask]
            arrays[f"{name}.indices"] = np.argwhere(mask).astype(np.int32)
    write_arrays(path, arrays, describe(network) | {"shapes": shapes})


def read_bcoo(path: Path) -> PyTree:
    """The variables of the network; the leaves that were pruned are BCOO."""
    arrays, told = read_arrays(path)
    leaves: dict[str, Any] = {name: jnp.asarray(array) for name, array in arrays.items()}
    for name, shape in told["shapes"].items():
        leaves[name] = sparse.BCOO(
            (leaves.pop(f"{name}.data"), leaves.pop(f"{name}.indices")),
            shape=tuple(shape),
            indices_sorted=True,
            unique_indices=True,
        )
    return as_tree(leaves)


def read_logits(path: Path, images: ArrayLike) -> jax.Array:
    """The logits of raw images, from the file alone.

    Dense layers multiply by BCOO matrices; kernels of convolutions, for which JAX has no sparse
    product in two dimensions, are made dense.
    """
    _, told = read_arrays(path)
    model, x = model_of(told), normalize(images, told["mean"], told["std"])
    variables = jax.tree.map(
        lambda leaf: leaf.todense() if is_bcoo(leaf) and leaf.ndim > 2 else leaf,
        read_bcoo(path),
        is_leaf=is_bcoo,
    )
    with nn.intercept_methods(multiply_sparse):
        return jax.jit(partial(model.apply, train=False))(variables, x)


def multiply_sparse(
    layer: Callable[..., Any], args: tuple, kwargs: dict[str, Any], context: Any
) -> Any:
    """For `flax.linen.intercept_methods`: dense layers whose kernel is BCOO take its product."""
    module = context.module
    if not isinstance(module, nn.Dense) or context.method_name != "__call__":
        return layer(*args, **kwargs)
    kernel, bias = (module.variables["params"][name] for name in ("kernel", "bias"))
    if not is_bcoo(kernel):
        return layer(*args, **kwargs)
    dtype, precise = module.dtype or kernel.dtype, kernel.dtype
    # As a dense product: of rounded numbers, summed up precisely.
    x = jnp.asarray(args[0], dtype).astype(precise)
    rounded = kernel.data.astype(dtype).astype(precise)
    product = sparse.bcoo_dot_general(
        x,
        sparse.BCOO((rounded, kernel.indices), shape=kernel.shape),
        dimension_numbers=(((x.ndim - 1,), (0,)), ((), ())),
    )
    return product.astype(dtype) + bias.astype(dtype)


def is_bcoo(leaf: Any) -> bool:
    """Whether a leaf is a BCOO array."""
    return isinstance(leaf, sparse.BCOO)
