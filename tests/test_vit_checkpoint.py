"""Published weights of Vision Transformers: layouts, other grids and heads, refusals."""

from functools import cache

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from silo_jax.models.vit import ViT
from silo_jax.models.vit_checkpoint import load_checkpoint
from tests.published_vit import (
    CHANNELS,
    DEPTH,
    MLP_DIM,
    NUM_HEADS,
    PATCH_SIZE,
    WIDTH,
    PublishedViT,
    big_vision,
    drawn_entries,
    older,
    published_logits,
    stacked,
)
from tests.refusals import refused
from tests.tiny import assert_identical

SIDE = 8
NUM_PATCHES = (SIDE // PATCH_SIZE) ** 2
POSITIONS = "Transformer/posembed_input/pos_embedding"
PUBLISHED = PublishedViT(num_classes=5)
ENTRIES = drawn_entries(PUBLISHED, SIDE)
NO_CLASS_POSITION = ENTRIES | {
    POSITIONS: np.concatenate([np.zeros((1, 1, WIDTH)), ENTRIES[POSITIONS][:, 1:]], axis=1)
}


def our_vit(num_classes=5, **changes):
    sizes = {"width": WIDTH, "depth": DEPTH, "num_heads": NUM_HEADS, "mlp_dim": MLP_DIM}
    return ViT(num_classes, **{"patch_size": PATCH_SIZE} | sizes | changes)


@cache
def fresh(model, image_shape=(SIDE, SIDE, CHANNELS)):
    """Weights that no file of these tests has."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *image_shape)))
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, 7.0), shapes["params"])


def save(path, entries):
    np.savez(path, **entries)
    return path


def load(path, model=None, image_shape=(SIDE, SIDE, CHANNELS), **options):
    model = model or our_vit()
    params = fresh(model, image_shape)
    return load_checkpoint(path, model, params, image_shape=image_shape, **options)


@pytest.fixture
def path(tmp_path):
    return save(tmp_path / "vit.npz", older(ENTRIES))


# Layouts


@pytest.mark.parametrize(
    ("layout", "source"),
    [
        (lambda entries: entries, ENTRIES),
        (older, ENTRIES),
        (lambda entries: {f"opt/target/{k}": v for k, v in older(entries).items()}, ENTRIES),
        (big_vision, NO_CLASS_POSITION),
        (lambda entries: big_vision(stacked(entries)), NO_CLASS_POSITION),
    ],
    ids=["augreg", "vision_transformer", "training_state", "big_vision", "stacked"],
)
def test_the_loaded_network_computes_what_the_published_one_does(tmp_path, layout, source):
    params = load(save(tmp_path / "vit.npz", layout(ENTRIES)))
    images = np.random.default_rng(0).normal(size=(3, SIDE, SIDE, CHANNELS)).astype(np.float32)
    logits = jax.jit(our_vit().apply)({"params": params}, images)
    expected = published_logits(PUBLISHED, source, images)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_weights_of_another_precision_become_float32(tmp_path, dtype):
    rounded = {name: entry.astype(dtype) for name, entry in ENTRIES.items()}
    again = {name: entry.astype(np.float32) for name, entry in rounded.items()}
    params = load(save(tmp_path / "rounded.npz", rounded))
    assert_identical(params, load(save(tmp_path / "again.npz", again)))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


# Another grid, another head


def interpolated(positions, rows, columns):
    """Along one axis after the other, by NumPy's interpolation of a function."""

    def along(axis, new):
        def line(values):
            old = np.linspace(0, 1, len(values))
            return np.interp(np.linspace(0, 1, new), old, values)

        return lambda grid: np.apply_along_axis(line, axis, grid)

    side = SIDE // PATCH_SIZE
    grid = positions[0, 1:].reshape(side, side, WIDTH).astype(float)
    return along(1, columns)(along(0, rows)(grid)).reshape(rows * columns, WIDTH)


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (7, 7), (3, 9), (2, 8), (4, 1)])
def test_positions_are_interpolated_on_the_grid(path, rows, columns):
    params = load(path, image_shape=(rows * PATCH_SIZE, columns * PATCH_SIZE, CHANNELS))
    positions = params["pos_embedding"][0]
    np.testing.assert_array_equal(positions[0], ENTRIES[POSITIONS][0, 0])
    expected = interpolated(ENTRIES[POSITIONS], rows, columns)
    np.testing.assert_allclose(positions[1:], expected, atol=1e-6)
    same = load(path)
    assert_identical({**params, "pos_embedding": 0}, {**same, "pos_embedding": 0})


def test_positions_of_the_same_grid_stay(path):
    np.testing.assert_array_equal(load(path)["pos_embedding"], ENTRIES[POSITIONS])


@pytest.mark.parametrize(
    ("num_classes", "new_head", "is_fresh"), [(5, False, False), (5, True, True), (3, False, True)]
)
def test_head_is_fresh_for_other_classes_or_on_request(path, num_classes, new_head, is_fresh):
    params = load(path, our_vit(num_classes), new_head=new_head)
    expected = np.full((WIDTH, num_classes), 7.0) if is_fresh else ENTRIES["head/kernel"]
    np.testing.assert_array_equal(params["head"]["kernel"], expected)
    assert_identical({**params, "head": 0}, {**load(path), "head": 0})


def test_pre_logits_go_with_their_head(tmp_path):
    entries = drawn_entries(PublishedViT(num_classes=5, pre_logits=6), SIDE)
    path = save(tmp_path / "vit.npz", entries)
    without = {name: e for name, e in entries.items() if not name.startswith("pre_logits/")}
    expected = load(save(tmp_path / "without.npz", without), new_head=True)
    assert_identical(load(path, new_head=True), expected)
    with refused("model.checkpoint", f"{path}: has pre_logits/bias, pre_logits/kernel"):
        load(path)


def test_a_file_without_a_head(tmp_path):
    headless = {name: e for name, e in ENTRIES.items() if not name.startswith("head/")}
    path = save(tmp_path / "vit.npz", headless)
    assert_identical(load(path, new_head=True), load(save(path, ENTRIES), new_head=True))
    save(path, headless)
    with refused("model.checkpoint", f"{path}: lacks head/bias, head/kernel"):
        load(path)


# Refusals


@pytest.mark.parametrize("name", older(ENTRIES))
def test_missing_entries_are_named(path, name):
    save(path, {other: e for other, e in older(ENTRIES).items() if other != name})
    missing = "pos_embedding" if name == POSITIONS else name
    with refused("model.checkpoint", f"{path}: lacks {missing}", "the weights of this network"):
        load(path)


def test_superfluous_entries_are_named(path):
    probe = {"MAPHead_0/probe": np.zeros((1, 1, WIDTH))}
    pooled = {name: e for name, e in ENTRIES.items() if name != "cls"} | probe
    save(path, big_vision(pooled))
    with refused("model.checkpoint", f"{path}: lacks cls and has MAPHead_0/probe;"):
        load(path)
    save(path, ENTRIES)
    names = ", ".join(sorted(name for name in ENTRIES if "encoderblock_1" in name)[:3])
    with refused("model.checkpoint", f"{path}: has {names} and 13 more;"):
        load(path, our_vit(depth=1))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"patch_size": 4}, "embedding/kernel has shape (2, 2, 3, 12); allowed: (4, 4, 3, 12)"),
        ({"num_heads": 2}, "key/bias has shape (3, 4); allowed: (2, 6)"),
        ({"mlp_dim": 8}, "Dense_0/bias has shape (20,); allowed: (8,)"),
        ({"width": 24}, "has shape"),
    ],
)
def test_weights_of_other_sizes_are_refused_by_name(path, changes, problem):
    with pytest.raises(ValueError, match=r"^model\.checkpoint: [^\n]+\Z") as caught:
        load(path, our_vit(**changes))
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_entries_of_another_shape_or_kind_are_refused_by_name(path, name):
    entry = ENTRIES[name]
    others = [entry[None], entry[:0], np.float32(1)]
    others += [entry[..., :-1]] if name != "head/kernel" else []  # that would be other classes
    for other in others:
        with refused("model.checkpoint", f"{save(path, ENTRIES | {name: other})}: {name} has "):
            load(path)
    for other in (entry.astype(int), entry.astype(complex), np.full_like(entry, np.nan)):
        with refused("model.checkpoint", f"{save(path, ENTRIES | {name: other})}: {name} holds "):
            load(path)


@pytest.mark.parametrize("number", [3, 6, 15, 18])
def test_positions_have_to_be_those_of_a_square(path, number):
    save(path, ENTRIES | {POSITIONS: np.zeros((1, number, WIDTH), np.float32)})
    with refused("model.checkpoint", f"{path}: {POSITIONS} has {number} positions", "those of a"):
        load(path)


# Files


def test_files_that_are_none(tmp_path):
    path = tmp_path / "vit.npz"
    with refused("model.checkpoint", f"{path}: No such file", "an .npz file"):
        load(path)
    with refused("model.checkpoint", f"{tmp_path}: Is a directory", "an .npz file"):
        load(tmp_path)
    for content in (b"", b"weights", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        with refused("model.checkpoint", f"{path}: damaged", "an .npz file"):
            load(path)
    with path.open("wb") as file:
        np.save(file, ENTRIES["cls"])
    with refused("model.checkpoint", f"{path}: damaged", "an .npz file"):
        load(path)
    save(path, ENTRIES | {"cls": np.array([print], dtype=object)})
    with refused("model.checkpoint", f"{path}: damaged", "an .npz file"):
        load(path)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_refused_or_damaged_where_nothing_is_read(tmp_path, write):
    path, random = tmp_path / "vit.npz", np.random.default_rng(0)
    write(path, **older(ENTRIES))
    whole, expected = path.read_bytes(), load(path)
    contents = [whole[: int(end)] for end in random.integers(0, len(whole), 20)]
    for position in random.integers(0, len(whole), 100):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << random.integers(8)
        contents.append(bytes(flipped))
    num_refused = 0
    for content in contents:
        path.write_bytes(content)
        try:
            params = load(path)
        except ValueError as error:
            message = str(error)
            num_refused += 1
        else:
            message = ""
            assert_identical(params, expected)
        assert not message or message.startswith(f"model.checkpoint: {path}: ")
    assert num_refused > 80
