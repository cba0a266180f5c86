"""Run by test_checkpoint_devices.py in an interpreter with 8 CPU devices: saves or restores."""

import sys
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from silo_jax.checkpoint import Checkpoints
from tests.tiny import WithStatistics, assert_identical, tiny_recipe, tiny_state

STEP = 4


def state_on_one_device():
    """Leaves of every kind, none of them constant but the masks, drawn on the host."""
    state = tiny_state(tiny_recipe("adamw", model=WithStatistics()))
    random = np.random.default_rng(0)

    def draw(leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return jnp.asarray(random.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(draw, state).replace(step=jnp.int32(STEP))


def on_eight_devices(state):
    """Every leaf is sharded along its first axis if 8 divides it, and replicated otherwise."""
    mesh = jax.make_mesh((8,), ("data",))

    def place(leaf):
        spec = P("data") if leaf.ndim and leaf.shape[0] % 8 == 0 else P()
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(place, state)


def save(directory, state):
    with closing(Checkpoints(directory, steps_per_cycle=STEP)) as checkpoints:
        checkpoints.save_rewind_point(state)
        checkpoints.save(state)


def check(directory, like):
    """What comes back has the bits that were saved, and lies where ``like`` lies."""
    with closing(Checkpoints(directory, steps_per_cycle=STEP)) as checkpoints:
        assert checkpoints.latest_step() == STEP
        restored = checkpoints.restore(like)
        point = checkpoints.restore_rewind_point(like)
    assert_identical(restored, state_on_one_device())
    assert_identical(point.params, state_on_one_device().params)
    for got, wanted in zip(jax.tree.leaves(restored), jax.tree.leaves(like), strict=True):
        assert got.sharding.is_equivalent_to(wanted.sharding, wanted.ndim)
        assert got.sharding.device_set == wanted.sharding.device_set


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    assert jax.device_count() == 8
    sharded = on_eight_devices(state_on_one_device())
    kernel = sharded.params["Dense_0"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (2, 7)
    check(directory / "one", sharded)
    save(directory / "eight", sharded)
    check(directory / "eight", sharded)
    check(directory / "eight", state_on_one_device())
