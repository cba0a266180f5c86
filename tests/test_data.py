"""Laws of splits, augmentation and normalisation."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax.data import (
    ImageData,
    Split,
    augment,
    channel_statistics,
    check_data_name,
    load_data,
    normalize,
)
from silo_jax.data.splits import split_off

PADDING = 2
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, (3, 5, 4, 2)).astype(np.uint8)


def rows(split):
    """Each example as bytes, so that sets of examples can be compared."""
    pairs = zip(split.images, split.labels, strict=True)
    return sorted(image.tobytes() + bytes([label]) for image, label in pairs)


def numbered(labels):
    """A split whose images tell their index."""
    labels = np.asarray(labels, np.int32)
    pixels = np.arange(len(labels), dtype="<u4").view(np.uint8)
    return Split(pixels.reshape(-1, 2, 2, 1), labels)


def indices(split):
    return split.images.reshape(-1, 4).copy().view("<u4")[:, 0]


# Splits


@pytest.mark.parametrize("fraction", [0.05, 0.1, 1 / 3, 0.9])
def test_split_is_a_partition_that_keeps_the_order(fraction):
    whole = numbered(RNG.integers(0, 7, 503))
    rest, part = split_off(whole, fraction, seed=3)
    assert len(part) == np.ceil(fraction * 503)
    assert np.array_equal(np.union1d(indices(rest), indices(part)), np.arange(503))
    assert len(rest) + len(part) == 503
    for piece in (rest, part):
        assert np.all(np.diff(indices(piece).astype(int)) > 0)
        assert np.array_equal(piece.labels, whole.labels[indices(piece)])


@pytest.mark.parametrize("fraction", [0.05, 0.1, 1 / 3])
def test_split_is_stratified(fraction):
    whole = numbered(RNG.choice(5, 700, p=[0.5, 0.2, 0.15, 0.1, 0.05]))
    _, part = split_off(whole, fraction, seed=0)
    proportional = np.bincount(whole.labels) * fraction
    assert np.all(np.abs(np.bincount(part.labels) - proportional) <= 1)


def test_split_is_a_function_of_its_seed():
    whole = numbered(np.arange(200) % 4)
    first, again, other = (indices(split_off(whole, 0.2, seed)[1]) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_labels_out_of_range_are_refused_with_their_index():
    good, bad = numbered([0, 1, 2]), numbered([0, 1, 3])
    ImageData("x", "1.0.0", 3, good, good, good)
    with pytest.raises(ValueError, match=r"x test: label 2 is 3; allowed: 0\.\.2"):
        ImageData("x", "1.0.0", 3, good, good, bad)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 3, 3, 1), np.float32), np.zeros(2, np.int32)),
        (np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.int32)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, np.int32)),
    ],
)
def test_a_split_of_other_types_or_shapes_is_refused(images, labels):
    with pytest.raises(ValueError, match=r"allowed: (uint8|int32)\["):
        Split(images, labels)


# Digits


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    digits = load_digits()
    data = load_data("digits")
    assert (data.name, data.num_classes) == ("digits", 10)
    expected = np.floor(digits.images * 255 / 16 + 0.5).astype(np.uint8)[..., None]
    whole = Split(expected, digits.target.astype(np.int32))
    assert expected.max() == 255
    parts = rows(data.train) + rows(data.validation) + rows(data.test)
    assert sorted(parts) == rows(whole)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [1293, 144, 360]
    proportional = np.bincount(digits.target) * 0.2
    assert np.all(np.abs(np.bincount(data.test.labels) - proportional) <= 1)


def test_digits_test_split_does_not_depend_on_arguments():
    first = load_data("digits")
    other = load_data("digits", split_seed=7, validation_fraction=0.3)
    assert rows(first.test) == rows(other.test)
    assert np.array_equal(first.test.images, other.test.images)
    assert rows(first.validation) != rows(load_data("digits", split_seed=7).validation)
    assert rows(first.validation) == rows(load_data("digits").validation)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan"), "a tenth"])
def test_validation_fraction_is_checked(fraction):
    with pytest.raises(ValueError, match=r"data\.validation_fraction: .* allowed: "):
        load_data("digits", validation_fraction=fraction)


def test_a_validation_split_without_every_class_is_refused():
    with pytest.raises(ValueError, match=r"data\.validation_fraction: 0\.001 .* digits"):
        load_data("digits", validation_fraction=0.001)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, None])
def test_split_seed_is_checked(seed):
    with pytest.raises(ValueError, match=r"data\.split_seed: .* allowed: "):
        load_data("digits", split_seed=seed)


def test_digits_is_an_allowed_name_and_its_misspelling_is_not():
    check_data_name("digits", None)
    with pytest.raises(ValueError, match=r"data\.name: 'digist'; .*did you mean 'digits'"):
        check_data_name("digist", None)


# Augmentation


def crops(image, padding):
    """Every crop of the padded image by (row, column), in plain NumPy."""
    height, width, _ = image.shape
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return {
        (row, column): padded[row : row + height, column : column + width]
        for row in range(2 * padding + 1)
        for column in range(2 * padding + 1)
    }


def test_no_padding_and_no_flip_is_the_identity():
    out = augment(jax.random.key(0), IMAGES, crop_padding=0, flip=False)
    assert np.array_equal(out, IMAGES)


def test_every_output_is_a_crop_and_all_offsets_and_both_flips_occur():
    batch = np.repeat(IMAGES[:1], 1000, axis=0)
    out = np.asarray(augment(jax.random.key(1), batch, crop_padding=PADDING, flip=True))
    choices = {}
    for (row, column), crop in crops(IMAGES[0], PADDING).items():
        choices[crop.tobytes()] = (row, column, False)
        choices[crop[:, ::-1].tobytes()] = (row, column, True)
    assert len(choices) == 2 * (2 * PADDING + 1) ** 2
    seen = [choices[image.tobytes()] for image in out]
    assert set(seen) == set(choices.values())
    flipped = sum(flip for *_, flip in seen)
    assert 400 < flipped < 600


def test_images_of_a_batch_stay_in_their_place():
    out = np.asarray(augment(jax.random.key(2), IMAGES, crop_padding=1, flip=False))
    for image, source in zip(out, IMAGES, strict=True):
        assert any(np.array_equal(image, crop) for crop in crops(source, 1).values())


def test_flip_alone_mirrors_the_width():
    batch = np.repeat(IMAGES[:1], 50, axis=0)
    out = np.asarray(augment(jax.random.key(3), batch, crop_padding=0, flip=True))
    same = [np.array_equal(image, IMAGES[0]) for image in out]
    mirrored = [np.array_equal(image, IMAGES[0][:, ::-1]) for image in out]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert any(same)
    assert any(mirrored)


@pytest.mark.parametrize(("crop_padding", "flip"), [(4, True), (4, False), (0, True)])
def test_augment_is_a_function_of_its_key(crop_padding, flip):
    options = {"crop_padding": crop_padding, "flip": flip}
    batch = np.repeat(IMAGES, 10, axis=0)
    first, again, other = (augment(jax.random.key(k), batch, **options) for k in (1, 1, 2))
    assert (first.dtype, first.shape) == (jnp.uint8, batch.shape)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    jitted = jax.jit(partial(augment, **options))
    assert np.array_equal(first, jitted(jax.random.key(1), batch))


def test_augment_over_a_batch_axis_of_keys_is_augment_for_each_key():
    options = {"crop_padding": 1, "flip": True}
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(partial(augment, **options), in_axes=(0, None))(keys, IMAGES)
    for key, out in zip(keys, together, strict=True):
        assert np.array_equal(out, augment(key, IMAGES, **options))


def test_augment_refuses_what_it_cannot_crop():
    with pytest.raises(ValueError, match="crop_padding"):
        augment(jax.random.key(0), IMAGES, crop_padding=-1, flip=False)
    with pytest.raises(ValueError, match="images"):
        augment(jax.random.key(0), IMAGES[0], crop_padding=1, flip=False)


# Normalisation


def test_normalize_against_numpy():
    mean, std = [0.4, 0.6], np.array([0.2, 0.3])
    out = normalize(IMAGES, mean, std)
    assert out.dtype == jnp.float32
    expected = (IMAGES / 255 - np.array(mean)) / std
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out, jax.jit(normalize)(IMAGES, mean, std), rtol=1e-6, atol=1e-6)


def test_channel_statistics_are_exact_whatever_the_chunk(monkeypatch):
    images = RNG.integers(0, 256, (101, 6, 5, 3)).astype(np.uint8)
    expected_mean = (images / 255).mean(axis=(0, 1, 2))
    expected_std = (images / 255).std(axis=(0, 1, 2))
    whole = channel_statistics(images)
    np.testing.assert_allclose(whole[0], expected_mean, rtol=1e-12)
    np.testing.assert_allclose(whole[1], expected_std, rtol=1e-12)
    monkeypatch.setattr("silo_jax.data.augmentation._CHUNK_BYTES", 1000)
    assert np.array_equal(channel_statistics(images), whole)


def test_normalized_training_images_have_mean_0_and_deviation_1():
    images = load_data("digits").train.images
    out = np.asarray(normalize(images, *channel_statistics(images)), np.float64)
    assert abs(out.mean()) < 1e-5
    assert abs(out.std() - 1) < 1e-5


def test_statistics_of_nothing_or_of_a_constant_channel_are_refused():
    with pytest.raises(ValueError, match=r"uint8\[0, 5, 4, 2\]"):
        channel_statistics(IMAGES[:0])
    with pytest.raises(ValueError, match="float32"):
        channel_statistics(IMAGES.astype(np.float32))
    constant = IMAGES.copy()
    constant[..., 1] = 9
    with pytest.raises(ValueError, match="channel 1 is constant"):
        channel_statistics(constant)


def test_the_import_is_light():
    heavy = "('tensorflow', 'tensorflow_datasets', 'sklearn', 'rich', 'PIL')"
    program = f"import sys, silo_jax.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
