"""More than one device: the mesh, and where the state, the images and the batches lie on it.

Along the mesh's axis ``data`` every batch is split, and the state is the same everywhere. XLA adds
the sums and means that go over the whole batch: losses, gradients, and the statistics of BatchNorm.
Along the axis ``model`` the kernels are split, with their masks and momentum. On one device there
is no mesh, None, and nothing is done.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

PyTree = Any

DATA, MODEL = "data", "model"


def join(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Makes this process one of several, before anything is computed.

    Args:
      coordinator: HOST:PORT at which process 0 can be reached. Without the three, what started the
        processes tells: the TPU pod, Slurm, Open MPI or Kubernetes.
      num_processes: how many there are.
      process_id: of this one, from 0.

    Raises:
      ValueError: nothing tells which processes there are.
      RuntimeError: the others cannot be reached.
    """
    jax.distributed.initialize(coordinator, num_processes, process_id)


def is_primary() -> bool:
    """Whether this process is the one that writes results."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Waits until every process has come to the point of this name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def largest(value: int) -> int:
    """The largest of the values that the processes have. All of them have to ask."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.process_allgather(np.int32(value)).max())


def make_mesh(data: int = 0, model: int = 1) -> Mesh | None:
    """The mesh of a run, None for one device.

    Args:
      data: into how many parts batches are split; 0 for as many as there are devices.
      model: into how many parts kernels are split.

    Raises:
      ValueError: there are not so many devices; or, with several processes, not all devices are
        used, or a kernel would be split over more than one process.

    Example:
      >>> from silo_jax.distributed import make_mesh
      >>> print(make_mesh(data=1))
      None
    """
    devices = jax.device_count()
    if model > devices:
        raise ValueError(f"devices.model: {model}; allowed: at most the {devices} devices")
    most = devices // model
    if data > most:
        raise ValueError(
            f"devices.data: {data} with devices.model={model}; allowed: at most {most}, "
            f"as there are {devices} devices"
        )
    shape = (data or most, model)
    used = shape[0] * shape[1]
    if jax.process_count() > 1:
        _check_processes(shape)
    if used == 1:
        return None
    auto = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh(shape, (DATA, MODEL), axis_types=auto, devices=jax.devices()[:used])


def check_batch_size(mesh: Mesh | None, name: str, batch_size: int) -> None:
    """Refuses batches that cannot be split evenly; ``name`` is the field's."""
    if mesh is not None and batch_size % mesh.shape[DATA]:
        raise ValueError(
            f"{name}: {batch_size}; allowed: a multiple of {mesh.shape[DATA]}, the parts into "
            "which batches are split (devices.data)"
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of images and labels: along their first axis."""
    return NamedSharding(mesh, P(DATA))


def state_shardings(mesh: Mesh | None, state: PyTree) -> PyTree:
    """The sharding of every leaf, None without a mesh.

    Leaves of two axes or more are split along ``model``: on their longest axis that divides, the
    last of equally long ones. It depends on nothing but the shape, so that a kernel, its mask and
    its momentum lie on the same devices. All other leaves are whole on every device.

    Args:
      mesh: from `make_mesh`.
      state: any tree of arrays, or of their shapes.
    """
    if mesh is None:
        return None
    parts = mesh.shape[MODEL]
    return jax.tree.map(lambda leaf: NamedSharding(mesh, _spec(leaf.shape, parts)), state)


def place(mesh: Mesh | None, state: PyTree) -> PyTree:
    """The state where `state_shardings` says. Every process has the whole of it before."""
    return state if mesh is None else jax.tree.map(_put, state, state_shardings(mesh, state))


def replicate(mesh: Mesh | None, tree: PyTree) -> PyTree:
    """The arrays whole on every device. Every process has the whole of them before."""
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    return jax.tree.map(lambda leaf: _put(leaf, NamedSharding(mesh, P())), tree)


def put_batches(mesh: Mesh | None, tree: PyTree, batch_axis: int) -> PyTree:
    """Host arrays split along the axis of the batch, of which every process has its own share.

    Args:
      mesh: from `make_mesh`.
      tree: NumPy arrays; process 0 has the first examples of a batch, process 1 the next ones, ….
      batch_axis: 0, or 1 where several batches are stacked.
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    sharding = NamedSharding(mesh, P(*[None] * batch_axis, DATA))
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree
    )


def _check_processes(shape: tuple[int, int]) -> None:
    data, model = shape
    local = jax.local_device_count()
    if local % model:
        raise ValueError(
            f"devices.model: {model}; allowed: a divisor of the {local} devices of a process"
        )
    if data * model < jax.device_count():
        raise ValueError(
            f"devices.data: {data} with devices.model={model}; allowed: "
            f"{jax.device_count() // model}, so that every process takes part"
        )


def _spec(shape: Sequence[int], parts: int) -> P:
    axes = [axis for axis, size in enumerate(shape) if size % parts == 0]
    if parts == 1 or len(shape) < 2 or not axes:
        return P()
    split = max(axes, key=lambda axis: (shape[axis], axis))
    return P(*[None] * split, MODEL)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """Each process fills its own devices, without any exchange."""
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
