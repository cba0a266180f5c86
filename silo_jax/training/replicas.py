"""Several networks in one program: their states have a leading axis, one entry a replica.

Replicas differ in what is data: weights, masks, peaks and random keys.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from silo_jax.checks import require_choice
from silo_jax.training.step import Recipe

PyTree = Any

# The partitioner of older JAX has devices agree on the order of images inside a shard_map's loop.
_CAN_SHARD = jax.__version_info__ >= (0, 7)
STRATEGIES = ("map", "vmap", *(("shard",) if _CAN_SHARD else ()))
_AXIS = "replicas"


def default_strategy() -> str:
    """ "shard" on several devices, "vmap" on one accelerator, "map" on the CPU.

    JAX before 0.7 has no "shard".
    """
    if len(jax.local_devices()) > 1 and _CAN_SHARD:
        return "shard"
    return "map" if jax.default_backend() == "cpu" else "vmap"


def stack(trees: Sequence[PyTree]) -> PyTree:
    """Trees of one structure as one, with a leading axis; on the host.

    Example:
      >>> stack([{"weight": 1.0}, {"weight": 2.0}])
      {'weight': array([1., 2.])}
    """
    return jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(list(trees)))


def replica(trees: PyTree, index: int) -> PyTree:
    """One of the trees that were stacked.

    Example:
      >>> replica({"weight": np.array([1.0, 2.0])}, 1)
      {'weight': np.float64(2.0)}
    """
    return jax.tree.map(lambda leaf: leaf[index], trees)


def recipe_of_replicas(recipe: Recipe, strategy: str, num_replicas: int) -> Recipe:
    """The recipe of each replica: on one device, and aware of `jax.vmap`."""
    is_mapped = strategy == "vmap" and num_replicas > 1
    return replace(recipe, mesh=None, replica_axis=_AXIS if is_mapped else None)


def replica_shardings(strategy: str, num_replicas: int) -> tuple[NamedSharding, NamedSharding]:
    """Where `over_replicas` has its arguments: those with an axis of replicas, and the shared."""
    mesh = _mesh(strategy, num_replicas)
    return NamedSharding(mesh, P(_AXIS)), NamedSharding(mesh, P())


def over_replicas(strategy: str, program: Callable[..., Any], num_replicas: int) -> Callable:
    """The program over all replicas, to be compiled as one.

    Args:
      strategy: "map" runs one replica after another, which gives each the bits that it has when
        it is run alone (before JAX 0.7 to float32's rounding); "vmap" runs
        all at once; "shard" gives each device of this process its share of them, which it runs as
        "map" does.
      program: called as ``program(mapped, *shared)``.
      num_replicas: a multiple of the number of devices, for "shard".

    Returns:
      A function of the same arguments; the first has the axis of the replicas, as the result has.

    Raises:
      ValueError: an unknown strategy, or one that this JAX does not have.
    """
    require_choice("strategy", strategy, STRATEGIES)
    if num_replicas == 1:
        return partial(_alone, program)
    if strategy == "vmap":
        return partial(_at_once, program)
    if strategy == "map":
        return partial(_in_turn, program)
    return partial(_on_all_devices, program, _mesh(strategy, num_replicas))


def _mesh(strategy: str, num_replicas: int) -> Mesh:
    """All devices of this process for "shard", the first one for the others."""
    devices = jax.local_devices()
    is_spread = strategy == "shard" and num_replicas > 1
    return Mesh(np.array(devices if is_spread else devices[:1]), (_AXIS,))


def _alone(program: Callable[..., Any], mapped: PyTree, *shared: PyTree) -> PyTree:
    result = program(replica(mapped, 0), *shared)
    return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, 0), result)


def _at_once(program: Callable[..., Any], mapped: PyTree, *shared: PyTree) -> PyTree:
    return jax.vmap(lambda one: program(one, *shared), axis_name=_AXIS)(mapped)


def _in_turn(program: Callable[..., Any], mapped: PyTree, *shared: PyTree) -> PyTree:
    return lax.map(lambda one: program(one, *shared), mapped)


def _on_all_devices(
    program: Callable[..., Any], mesh: Mesh, mapped: PyTree, *shared: PyTree
) -> PyTree:
    return jax.shard_map(
        partial(_in_turn, program),
        mesh=mesh,
        in_specs=(P(_AXIS), *(P() for _ in shared)),
        out_specs=P(_AXIS),
        check_vma=False,
    )(mapped, *shared)
