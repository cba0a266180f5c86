"""Run by test_sharding.py in an interpreter with 8 CPU devices: sharded equals unsharded."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from silo_jax import init_masks, masked, prune, prune_and_report, prune_channels, sparsity

SPECS = {
    "both": P("x", "y"),
    "rows": P("x"),
    "columns": P(None, "y"),
    "one": P(("x", "y")),
    "": P(),
}
SHAPES = {"both": (8, 6), "rows": (4, 5), "columns": (3, 3, 2, 4), "one": (16, 3), "": (2, 7)}
SPECS["columns"] = P(None, None, None, "y")
RNG = np.random.default_rng(0)
PARAMS = {
    name: np.round(RNG.normal(size=shape), 1).astype(np.float32) for name, shape in SHAPES.items()
}  # rounded, so that there are ties
MASKS = {name: RNG.random(shape) < 0.8 for name, shape in SHAPES.items()}


def mesh_of(kind):
    return jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind,) * 2)


def place(tree, mesh):
    return {
        name: jax.device_put(leaf, NamedSharding(mesh, SPECS[name])) for name, leaf in tree.items()
    }


def on_one_device(tree):
    return jax.tree.map(jnp.asarray, tree)


def assert_same_but_sharded(masks, expected, params):
    for name, mask in masks.items():
        assert mask.sharding.is_equivalent_to(params[name].sharding, mask.ndim), name
        np.testing.assert_array_equal(mask, expected[name], err_msg=name)


WAYS = {
    "global": partial(prune),
    "layerwise": partial(prune, scope="layerwise"),
    "erk": partial(prune, scope="erk"),
    "lamp": partial(prune, scope="lamp"),
    "channels": prune_channels,
}


def test_there_are_eight_devices():
    assert jax.device_count() == 8


@given(st.floats(0, 1))
@settings(max_examples=15, deadline=None, derandomize=True)
@pytest.mark.parametrize("way", WAYS)
def test_sharded_equals_unsharded(way, fraction):
    mesh = mesh_of(AxisType.Auto)
    params, masks = place(PARAMS, mesh), place(MASKS, mesh)
    expected = WAYS[way](on_one_device(PARAMS), on_one_device(MASKS), fraction)
    pruned = WAYS[way](params, masks, fraction)
    for name, mask in pruned.items():
        np.testing.assert_array_equal(mask, expected[name], err_msg=name)
        if way != "lamp":
            assert mask.sharding.is_equivalent_to(params[name].sharding, mask.ndim), name


@pytest.mark.skipif(not hasattr(jax, "set_mesh"), reason="no explicit sharding in this JAX")
@pytest.mark.parametrize("way", ["global", "layerwise", "erk"])
def test_explicit_shardings(way):
    mesh = mesh_of(AxisType.Explicit)
    expected = WAYS[way](on_one_device(PARAMS), on_one_device(MASKS), 0.3)
    with jax.set_mesh(mesh):
        params, masks = place(PARAMS, mesh), place(MASKS, mesh)
        assert_same_but_sharded(WAYS[way](params, masks, 0.3), expected, params)


def collectives(compiled):
    """The kind and the number of elements of every transfer between devices in the program."""
    found = []
    pattern = r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute)(?:-start)?\("
    for shapes, kind in re.findall(pattern, compiled.as_text()):
        sizes = [
            np.prod([int(n) for n in dims.split(",") if n], dtype=int)
            for dims in re.findall(r"\[([\d,]*)\]", shapes)
        ]
        found.append((kind, max(sizes)))
    return found


@pytest.mark.skipif(
    jax.__version_info__ < (0, 7), reason="XLA of this JAX exchanges 160 numbers at a time"
)
def test_what_devices_exchange_is_counts():
    """Never as much as a leaf, but at most a number from each device, whatever the leaf's size."""
    mesh = mesh_of(AxisType.Auto)
    specs = {"a": P("x", "y"), "b": P("x"), "c": P(None, "y"), "d": P(("x", "y"))}
    shapes = dict.fromkeys(specs, (64, 40))
    params, masks = (
        {
            name: jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, specs[name]))
            for name, shape in shapes.items()
        }
        for dtype in (jnp.float32, bool)
    )
    compiled = jax.jit(lambda params, masks: prune(params, masks, 0.2)).lower(params, masks)
    exchanged = collectives(compiled.compile())
    assert exchanged
    assert max(size for _, size in exchanged) <= jax.device_count()


def test_a_cycle_of_training_on_sharded_weights():
    """Masked steps and a prune inside one program, with the momentum sharded as the weights."""
    optimizer = masked(optax.sgd(0.1, momentum=0.9))

    @jax.jit
    def cycle(params, masks):
        state = optimizer.init(params)
        for _ in range(2):
            grads = jax.tree.map(jnp.cos, params)
            updates, state = optimizer.update(grads, state, params, masks=masks)
            params = optax.apply_updates(params, updates)
        return prune_and_report(params, masks, 0.5)

    sharded, report = cycle(
        place(PARAMS, mesh_of(AxisType.Auto)), place(MASKS, mesh_of(AxisType.Auto))
    )
    alone, report_alone = cycle(on_one_device(PARAMS), on_one_device(MASKS))
    jax.tree.map(np.testing.assert_array_equal, (sharded, report), (alone, report_alone))
    np.testing.assert_allclose(sparsity(sharded), sparsity(alone))


def test_masks_are_made_where_the_weights_are():
    params = place(PARAMS, mesh_of(AxisType.Auto))
    pruned = prune(params, init_masks(params), 0.5)
    assert_same_but_sharded(pruned, prune(on_one_device(PARAMS), init_masks(PARAMS), 0.5), params)
