"""Run by test_sharding.py in an interpreter with 8 CPU devices: training on one or on eight."""

import re
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from silo_jax.distributed import (
    check_batch_size,
    make_mesh,
    place,
    put_batches,
    replicate,
    state_shardings,
)
from silo_jax.models.resnet_cifar import ResNetCifar
from silo_jax.models.vit import ViT
from silo_jax.training.evaluation import evaluate
from silo_jax.training.state import create_state
from silo_jax.training.step import DeviceSplit, train_epoch, train_on_batches
from tests.refusals import refused
from tests.tiny import WithStatistics, assert_identical, tiny_recipe

NUM_IMAGES, BATCH_SIZE, STEPS = 37, 16, 2
IMAGE_SHAPE = (8, 8, 3)
NETWORKS = {
    "resnet": (ResNetCifar(num_classes=3, depth=8), (8, 1)),
    "vit": (ViT(3, patch_size=4, width=16, depth=1, num_heads=2, mlp_dim=32), (4, 2)),
}
close = partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)


def recipe_of(model, mesh, **changes):
    settings = {
        "steps_per_cycle": STEPS,
        "batch_size": BATCH_SIZE,
        "mean": (0.4, 0.5, 0.6),
        "std": (0.2, 0.3, 0.25),
        "crop_padding": 1,
        "flip": True,
        "mesh": mesh,
    }
    return tiny_recipe(model=model, **settings | changes)


def images():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (NUM_IMAGES, *IMAGE_SHAPE), dtype=np.uint8)
    return DeviceSplit(pixels, random.integers(0, 3, NUM_IMAGES).astype(np.int32))


class Trained(NamedTuple):
    """A train program, and the arguments that it is called with."""

    program: jax.stages.Compiled
    recipe: object
    state: object
    data: DeviceSplit

    def cycle(self, peak):
        state = self.state.replace(peaks=jnp.full_like(self.state.peaks, peak))
        return self.program(state, self.data, jnp.int32(STEPS))


@cache
def compiled(network, on_mesh):
    model, (data, parts) = NETWORKS[network]
    mesh = make_mesh(data, parts) if on_mesh else None
    recipe = recipe_of(model, mesh)
    state = create_state(model, recipe.optimizer, seed=0, image_shape=IMAGE_SHAPE, peaks=[0.1])
    state, split = place(mesh, state), replicate(mesh, images())
    train = jax.jit(
        train_epoch, static_argnums=0, out_shardings=(state_shardings(mesh, state), None)
    )
    program = train.lower(recipe, state, split, jnp.int32(0)).compile()
    return Trained(program, recipe, state, split)


def assert_close(left, right):
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(left), jax.tree.leaves(right), strict=True
    ):
        close(np.asarray(a), np.asarray(b), err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_batches_train_the_same_network(network):
    alone, _ = compiled(network, False).cycle(0.1)
    spread, _ = compiled(network, True).cycle(0.1)
    assert int(spread.step) == STEPS
    for part in ("params", "batch_stats", "opt_state", "sums", "last_loss"):
        assert_close(getattr(spread, part), getattr(alone, part))
    assert int(spread.sums.examples) == STEPS * BATCH_SIZE


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_weights_are_pruned_to_the_same_masks(network):
    """With a learning rate of 0 the weights have the same bits, so the masks must have, too."""
    alone, _ = compiled(network, False).cycle(0.0)
    spread, _ = compiled(network, True).cycle(0.0)
    assert_identical(spread.params, alone.params)
    assert_identical(spread.next_masks, alone.next_masks)
    assert sum(int(m.sum()) for m in jax.tree.leaves(alone.next_masks) if m.ndim) * 2 == sum(
        m.size for m in jax.tree.leaves(alone.masks) if m.ndim
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_loss_and_accuracy_are_over_all_images(network):
    """15 images at a time, which 8 devices cannot share evenly, and 7 in the last batch."""
    sums = [
        jax.jit(evaluate, static_argnums=(0, 1))(of.recipe, 15, of.state, of.data)
        for of in (compiled(network, on_mesh) for on_mesh in (False, True))
    ]
    close(sums[1].loss, sums[0].loss)
    assert sums[1].correct == sums[0].correct
    assert sums[1].examples == NUM_IMAGES


def transfers(program):
    """Kind, type and number of elements of all that devices send each other in a program."""
    pattern = (
        r"= (.*?) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(?:-start)?\("
    )
    return [
        (kind, dtype, int(np.prod([int(n) for n in dims.split(",") if n])))
        for shapes, kind in re.findall(pattern, program.as_text())
        for dtype, dims in re.findall(r"(\w+)\[([\d,]*)\]", shapes)
    ]


def test_what_devices_exchange_is_gradients_and_statistics():
    """No image and no activation: one number a parameter, and some a channel of BatchNorm."""
    program, state = compiled("resnet", True).program, compiled("resnet", True).state
    floats = [(kind, size) for kind, dtype, size in transfers(program) if dtype[0] in "fb"]
    assert {kind for kind, _ in floats} == {"all-reduce"}
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    statistics = sum(leaf.size for leaf in jax.tree.leaves(state.batch_stats))
    sent = sum(size for _, size in floats)
    assert parameters <= sent <= parameters + 2 * statistics + 10
    assert max(size for _, dtype, size in transfers(program) if dtype[0] not in "fb") == 1


def test_kernels_are_split_with_their_masks_and_momentum():
    before = compiled("vit", True).state
    after, _ = compiled("vit", True).cycle(0.1)
    kernel = after.params["block_0"]["Dense_0"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (16, 32 // 2)
    masks = (after.masks, after.next_masks)
    momentum = [leaf for leaf in jax.tree.leaves(after.opt_state) if leaf.shape == kernel.shape]
    for leaf in (*(mask["block_0"]["Dense_0"]["kernel"] for mask in masks), *momentum):
        assert leaf.sharding.is_equivalent_to(kernel.sharding, 2)
    assert momentum
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert new.sharding.is_equivalent_to(old.sharding, new.ndim)


def test_batches_from_the_host_train_the_same_network():
    """Two chunks of batches, as they are streamed; two of the three in the second are used."""
    model, random = WithStatistics(), np.random.default_rng(1)
    pixels = random.integers(0, 256, (3, BATCH_SIZE, *IMAGE_SHAPE), dtype=np.uint8)
    labels = random.integers(0, 3, (3, BATCH_SIZE)).astype(np.int32)
    results = []
    for mesh in (None, make_mesh()):
        recipe = recipe_of(model, mesh)
        state = create_state(
            model, recipe.optimizer, seed=0, image_shape=IMAGE_SHAPE, peaks=[0.1, 0.1]
        )
        chunk = DeviceSplit(pixels, labels)
        if mesh is not None:
            state, chunk = place(mesh, state), put_batches(mesh, chunk, 1)
            assert chunk.images.addressable_shards[0].data.shape == (3, 2, *IMAGE_SHAPE)
        train = jax.jit(train_on_batches, static_argnums=0)
        for number in (3, 2):
            state, _ = train(recipe, state, chunk, jnp.int32(number))
        assert state.sums.examples == 5 * BATCH_SIZE
        results.append(state)
    assert_close(results[1].params, results[0].params)
    assert_close(results[1].sums, results[0].sums)


def test_a_last_batch_that_devices_cannot_share_evenly():
    model, results = WithStatistics(), []
    for mesh in (None, make_mesh()):
        recipe = recipe_of(model, mesh, steps_per_cycle=3, drop_last=False)
        state = create_state(model, recipe.optimizer, seed=0, image_shape=IMAGE_SHAPE, peaks=[0.1])
        train = jax.jit(train_epoch, static_argnums=0)
        state, sums = train(recipe, place(mesh, state), replicate(mesh, images()), jnp.int32(3))
        assert sums.examples == NUM_IMAGES
        results.append((state.params, state.batch_stats, sums))
    assert_close(results[1], results[0])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), P()),
        ((8,), P()),
        ((6, 4), P("model")),
        ((4, 6), P(None, "model")),
        ((4, 4), P(None, "model")),
        ((9, 2), P(None, "model")),
        ((3, 3, 8, 4), P(None, None, "model")),
        ((3, 5), P()),
    ],
)
def test_the_longest_axis_that_divides_is_split(shape, expected):
    leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
    mesh = make_mesh(4, 2)
    assert state_shardings(mesh, leaf).is_equivalent_to(NamedSharding(mesh, expected), len(shape))
    whole = NamedSharding(make_mesh(), P())
    assert state_shardings(make_mesh(), leaf).is_equivalent_to(whole, len(shape))


def test_meshes():
    assert make_mesh().shape == {"data": 8, "model": 1}
    assert make_mesh(model=4).shape == {"data": 2, "model": 4}
    assert make_mesh(3).shape == {"data": 3, "model": 1}
    assert make_mesh(1) is None


@pytest.mark.parametrize(
    ("data", "model", "field", "value", "allowed"),
    [
        (9, 1, "devices.data", "9 with devices.model=1", "at most 8"),
        (3, 4, "devices.data", "3 with devices.model=4", "at most 2"),
        (0, 9, "devices.model", "9", "at most the 8 devices"),
    ],
)
def test_more_parts_than_devices_are_refused(data, model, field, value, allowed):
    with refused(field, value, allowed):
        make_mesh(data, model)


def test_batches_that_cannot_be_split_are_refused():
    check_batch_size(None, "training.batch_size", 7)
    check_batch_size(make_mesh(), "training.batch_size", 16)
    with refused("training.batch_size", 12, "a multiple of 8"):
        check_batch_size(make_mesh(), "training.batch_size", 12)
