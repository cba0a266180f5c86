"""The cache of decoded images: whole or not there, and never silently wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from silo_jax.data import load_data
from silo_jax.data.cache import CachedSplit, cached_split
from tests.tfds_sets import (
    CLASSES,
    SHAPE,
    assert_holds,
    edit_info,
    make_examples,
    png,
    refused,
    write_set,
)

pytest.importorskip("tensorflow_datasets")


def test_a_record_that_cannot_be_decoded_leaves_nothing_behind(paths, small_reads):
    images, labels = make_examples(80, 0)
    encoded = [png(image) for image in images]
    broken = [*encoded[:25], b"not a picture", *encoded[26:]]
    test = make_examples(20, 1)
    directory, _ = write_set(paths["data_dir"], splits={"train": (broken, labels), "test": test})
    with refused(r"cannot read records 20\.\.29 of tiny:1\.0\.0 train", RuntimeError):
        load_data("tiny", **paths)
    assert [path.name for path in (paths["cache_dir"] / "tiny/1.0.0").iterdir()] == ["test"]
    shutil.rmtree(directory)
    _, splits = write_set(paths["data_dir"], splits={"train": (images, labels), "test": test})
    assert_holds(load_data("tiny", **paths), splits)


WANTED = CachedSplit(
    name="x",
    version="1.0.0",
    split="train",
    num_examples=20,
    image_shape=SHAPE,
    num_classes=CLASSES,
    encoded_bytes=5,
)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interruption_half_way_leaves_nothing_behind(tmp_path, stop):
    images, labels = make_examples(20, 0)

    def interrupted():
        yield images[:10], labels[:10]
        assert len(list((tmp_path / "x/1.0.0").iterdir())) == 1
        raise stop

    with pytest.raises(stop):
        cached_split(WANTED, interrupted, tmp_path, False)
    assert list((tmp_path / "x/1.0.0").iterdir()) == []
    split = cached_split(WANTED, lambda: [(images, labels)], tmp_path, False)
    assert np.array_equal(split.images, images)


def test_what_a_killed_process_left_is_never_read(tmp_path):
    images, labels = make_examples(20, 0)
    cached_split(WANTED, lambda: [(images, labels)], tmp_path, False)
    final = tmp_path / "x/1.0.0/train"
    final.rename(final.with_name(".train-0123"))
    (final.with_name(".train-0123") / "labels.npy").unlink()
    other = cached_split(WANTED, lambda: [(images[::-1], labels)], tmp_path, False)
    assert np.array_equal(other.images, images[::-1])


def test_the_first_of_two_processes_wins(tmp_path):
    images, labels = make_examples(20, 0)

    def overtaken():
        yield images[:10], labels[:10]
        cached_split(WANTED, lambda: [(images[::-1], labels)], tmp_path, False)
        yield images[10:], labels[10:]

    split = cached_split(WANTED, overtaken, tmp_path, False)
    assert np.array_equal(split.images, images[::-1])
    assert [path.name for path in (tmp_path / "x/1.0.0").iterdir()] == ["train"]


@pytest.mark.parametrize("count", [19, 21])
def test_records_that_do_not_fit_the_info_are_refused(tmp_path, count):
    with refused(f"x:1.0.0 train has {count} records; its info says 20"):
        cached_split(WANTED, lambda: [make_examples(count, 0)], tmp_path, False)
    assert list((tmp_path / "x/1.0.0").iterdir()) == []


def test_a_cache_of_another_copy_is_refused(paths):
    directory, _ = write_set(paths["data_dir"])
    load_data("tiny", **paths)
    edit_info(directory, lambda info: info["splits"][0].update(numBytes="1235"))
    with refused(
        r"tiny:1\.0\.0 train is of another .*encoded_bytes 1234 instead of 1235\): remove"
    ):
        load_data("tiny", **paths)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("images.npy", truncate),
        ("images.npy", Path.unlink),
        ("images.npy", lambda path: np.save(path, make_examples(79, 0)[0])),
        ("images.npy", lambda path: np.save(path, make_examples(80, 0, (5, 6, 3))[0])),
        ("images.npy", lambda path: np.save(path, np.zeros((80, *SHAPE), np.float32))),
        ("labels.npy", truncate),
        ("labels.npy", lambda path: path.write_bytes(b"")),
        ("labels.npy", lambda path: np.save(path, np.zeros(80, np.int64))),
        ("split.json", truncate),
        ("split.json", lambda path: path.write_text("[1]")),
        ("split.json", Path.unlink),
    ],
)
def test_a_damaged_cache_is_refused(paths, file, damage):
    write_set(paths["data_dir"])
    load_data("tiny", **paths)
    damage(paths["cache_dir"] / "tiny/1.0.0/train" / file)
    with refused(r"tiny:1\.0\.0 train is damaged .*: remove '.*/tiny/1\.0\.0/train', or choose"):
        load_data("tiny", **paths)


def test_cached_labels_out_of_range_are_refused(paths):
    write_set(paths["data_dir"])
    load_data("tiny", **paths)
    labels = np.arange(20, dtype=np.int32) % CLASSES
    labels[7] = CLASSES
    np.save(paths["cache_dir"] / "tiny/1.0.0/test/labels.npy", labels)
    with refused(r"tiny test: label 7 is 4; allowed: 0\.\.3"):
        load_data("tiny", **paths)


def test_a_cache_that_cannot_be_written_is_one_line(paths, tmp_path):
    write_set(paths["data_dir"])
    (tmp_path / "file").touch()
    with refused(r"data\.cache_dir: cannot write the decoded tiny:1\.0\.0 test"):
        load_data("tiny", **{**paths, "cache_dir": tmp_path / "file"})
