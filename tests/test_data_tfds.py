"""Sets of TensorFlow Datasets: small ones written here, and the real Fashion-MNIST."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from silo_jax.data import load_data
from silo_jax.data import tfds_records as records_module
from tests.tfds_sets import (
    CLASSES,
    SHAPE,
    assert_holds,
    make_examples,
    png,
    refused,
    snapshot,
    whole_train,
    write_set,
)

pytest.importorskip("tensorflow_datasets")


def test_what_was_written_is_read(paths):
    _, splits = write_set(paths["data_dir"])
    data = load_data("tiny", validation_fraction=0.2, **paths)
    assert (data.name, data.version, data.num_classes) == ("tiny", "1.0.0", CLASSES)
    assert_holds(data, splits)
    assert len(data.validation) == 16
    assert np.array_equal(np.bincount(data.validation.labels), [4] * CLASSES)


@pytest.mark.parametrize("reads", [1, 7, 79, 80])
def test_the_size_of_a_read_does_not_matter(paths, monkeypatch, reads):
    monkeypatch.setattr(records_module, "_RECORDS_PER_READ", reads)
    _, splits = write_set(paths["data_dir"])
    assert_holds(load_data("tiny", **paths), splits)


def test_the_seed_chooses_the_validation_split_and_nothing_else(paths):
    write_set(paths["data_dir"])
    first, again, other = (load_data("tiny", split_seed=s, **paths) for s in (0, 0, 1))
    assert np.array_equal(first.validation.images, again.validation.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    assert np.array_equal(first.test.images, other.test.images)
    assert whole_train(first) == whole_train(other)


def test_versions_and_configurations_as_tfds_writes_them(paths):
    import tensorflow_datasets as tfds

    write_set(paths["data_dir"], version="1.0.0", splits={"train": make_examples(40, 2)})
    _, newer = write_set(paths["data_dir"], version="1.1.0")
    assert load_data("tiny", **paths).version == "1.1.0"
    assert_holds(load_data("tiny:1.*.*", **paths), newer)
    with refused(r"'tiny' has no 'test' split; .*\(this one has 'train'\)"):
        load_data("tiny:1.0.0", **paths)
    keys = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=SHAPE),
            "label": tfds.features.ClassLabel(num_classes=4),
        }
    )
    _, small = write_set(paths["data_dir"], "sized", config="6x5", features=dict(keys))
    data = load_data("sized/6x5", **paths)
    assert (data.name, data.version) == ("sized/6x5", "1.0.0")
    assert_holds(data, small)
    assert (paths["cache_dir"] / "sized/6x5/1.0.0/test/images.npy").exists()


def test_a_set_that_tfds_knows_is_read_from_where_it_is_prepared(paths):
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    images, labels = make_examples(40, 0, (28, 28, 1))
    encoded = [png(image[..., 0]) for image in images]
    splits = {"train": (encoded, labels), "test": (encoded, labels)}
    write_set(paths["data_dir"], "mnist", "3.0.1", splits=splits, features=features)
    data = load_data("mnist", **paths)
    assert_holds(data, {"train": (images, labels), "test": (images, labels)})


def test_without_supervised_keys_the_only_image_and_label_are_taken(paths):
    _, splits = write_set(paths["data_dir"], supervisedKeys=None)
    assert_holds(load_data("tiny", **paths), splits)


def test_the_data_directory_is_only_read(paths):
    write_set(paths["data_dir"])
    before = snapshot(paths["data_dir"])
    load_data("tiny", **paths)
    assert snapshot(paths["data_dir"]) == before


def test_directories_from_the_environment(tmp_path, monkeypatch):
    _, splits = write_set(tmp_path / "here")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "here"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SILO_JAX_CACHE", raising=False)
    assert_holds(load_data("tiny", progress=False), splits)
    assert (tmp_path / "xdg/silo-jax/tiny/1.0.0/train").is_dir()
    monkeypatch.setenv("SILO_JAX_CACHE", str(tmp_path / "own"))
    load_data("tiny", progress=False)
    assert (tmp_path / "own/tiny/1.0.0/train").is_dir()


# The cache


def test_the_second_load_decodes_nothing(paths):
    directory, splits = write_set(paths["data_dir"])
    load_data("tiny", **paths)
    for records in directory.glob("*array_record*"):
        records.unlink()
    data = load_data("tiny", **paths)
    assert_holds(data, splits)
    assert isinstance(data.test.images, np.memmap)
    assert not data.test.images.flags.writeable


def test_progress_is_one_line_at_the_first_load_only(paths, capsys):
    write_set(paths["data_dir"])
    load_data("tiny", **{**paths, "progress": True})
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(" into .*", "", line) for line in lines] == [
        "Decoding tiny:1.0.0 test, 20 images,",
        "Decoding tiny:1.0.0 train, 80 images,",
    ]
    load_data("tiny", **{**paths, "progress": True})
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_progress_is_a_bar_on_a_terminal_and_nothing_when_off(paths, capsys, monkeypatch):
    pytest.importorskip("rich")
    write_set(paths["data_dir"])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    load_data("tiny", **{**paths, "progress": True})
    captured = capsys.readouterr()
    assert "100%" in captured.err
    assert captured.out == ""
    shutil.rmtree(paths["cache_dir"])
    load_data("tiny", **paths)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


# The real Fashion-MNIST


@pytest.fixture(scope="session")
def fashion(tmp_path_factory):
    prepared = Path(os.environ.get("TFDS_DATA_DIR", "")) / "fashion_mnist"
    if not os.environ.get("TFDS_DATA_DIR") or not prepared.is_dir():
        pytest.skip("TFDS_DATA_DIR does not hold fashion_mnist")
    return load_data("fashion_mnist", cache_dir=tmp_path_factory.mktemp("cache"), progress=False)


def test_fashion_mnist_counts(fashion):
    assert fashion.num_classes == 10
    assert fashion.train.images.shape == (54_000, 28, 28, 1)
    assert np.array_equal(np.bincount(fashion.train.labels), [5400] * 10)
    assert np.array_equal(np.bincount(fashion.validation.labels), [600] * 10)
    assert fashion.test.images.shape == (10_000, 28, 28, 1)
    assert np.array_equal(np.bincount(fashion.test.labels), [1000] * 10)


def test_fashion_mnist_records_are_those_of_tfds(fashion):
    import tensorflow_datasets as tfds

    test = tfds.data_source("fashion_mnist", split="test", data_dir=os.environ["TFDS_DATA_DIR"])
    for index in (0, 1, 999, 1000, 1001, 9999):
        assert np.array_equal(fashion.test.images[index], test[index]["image"])
        assert fashion.test.labels[index] == test[index]["label"]
    train = tfds.data_source("fashion_mnist", split="train", data_dir=os.environ["TFDS_DATA_DIR"])
    examples = whole_train(fashion)
    for index in (0, 17, 59_999):
        assert examples[train[index]["image"].tobytes(), train[index]["label"]] >= 1
