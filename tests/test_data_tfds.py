"""Sets of TensorFlow Datasets: small ones written here as it does, and the real Fashion-MNIST."""

import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from silo_jax.data import check_data_name, load_data
from silo_jax.data import tfds_source as source_module
from silo_jax.data.cache import CachedSplit, cached_split

pytest.importorskip("tensorflow_datasets")

SHAPE = (6, 5, 3)
CLASSES = 4


def make_examples(count, seed, shape=SHAPE):
    images = np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)
    return images, (np.arange(count) % CLASSES).astype(np.int32)


def png(image):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_set(
    data_dir,
    name="tiny",
    version="1.0.0",
    *,
    config=None,
    splits=None,
    features=None,
    declared=None,
    keys=("image", "label"),
    **info,
):
    """Writes a set as TFDS does, two shards a split; returns its directory and what it holds.

    Args:
      features: what the records are written with; ``declared`` is what features.json says of them.
    """
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter

    kinds = tfds.features
    features = features or {
        "image": kinds.Image(shape=SHAPE),
        "label": kinds.ClassLabel(num_classes=CLASSES),
    }
    features = kinds.FeaturesDict(features)
    splits = splits or {"train": make_examples(80, 0), "test": make_examples(20, 1)}
    directory = Path(data_dir, name, config or "", version)
    directory.mkdir(parents=True)
    (kinds.FeaturesDict(declared) if declared else features).save_config(directory)
    entries = []
    for split, (images, labels) in splits.items():
        halves = np.array_split(np.arange(len(labels)), 2)
        for shard, half in enumerate(halves):
            path = directory / f"{name}-{split}.array_record-{shard:05d}-of-00002"
            writer = ArrayRecordWriter(str(path), "group_size:1")
            for index in half:
                image = images[index]
                image = image if isinstance(image, bytes) else png(image)
                example = {"image": io.BytesIO(image), "label": int(labels[index])}
                writer.write(features.serialize_example(example))
            writer.close()
        entries.append(
            {
                "name": split,
                "numBytes": "1234",
                "shardLengths": [str(len(half)) for half in halves],
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    content = {
        "name": name,
        "version": version,
        "fileFormat": "array_record",
        "splits": entries,
        **({"configName": config} if config else {}),
        **({"supervisedKeys": {"tuple": {"items": [{"featureKey": k} for k in keys]}}}),
        **info,
    }
    (directory / "dataset_info.json").write_text(json.dumps(content))
    return directory, splits


def edit_info(directory, edit):
    path = directory / "dataset_info.json"
    info = json.loads(path.read_text())
    edit(info)
    path.write_text(json.dumps(info))


def snapshot(directory):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [directory, *directory.rglob("*")]
    }


@contextmanager
def refused(message, error=ValueError):
    """Expects an error of one line that matches."""
    with pytest.raises(error, match=message) as caught:
        yield
    assert "\n" not in str(caught.value)


@pytest.fixture
def paths(tmp_path):
    return {"data_dir": tmp_path / "tfds", "cache_dir": tmp_path / "cache", "progress": False}


@pytest.fixture
def small_reads(monkeypatch):
    monkeypatch.setattr(source_module, "_RECORDS_PER_READ", 10)


def whole_train(data):
    return Counter(
        (image.tobytes(), int(label))
        for split in (data.train, data.validation)
        for image, label in zip(split.images, split.labels, strict=True)
    )


def assert_holds(data, splits):
    train_images, train_labels = splits["train"]
    pairs = zip(train_images, train_labels, strict=True)
    assert whole_train(data) == Counter((image.tobytes(), int(label)) for image, label in pairs)
    assert np.array_equal(data.test.images, splits["test"][0])
    assert np.array_equal(data.test.labels, splits["test"][1])


# Reading


def test_what_was_written_is_read(paths):
    _, splits = write_set(paths["data_dir"])
    data = load_data("tiny", validation_fraction=0.2, **paths)
    assert (data.name, data.version, data.num_classes) == ("tiny", "1.0.0", CLASSES)
    assert_holds(data, splits)
    assert len(data.validation) == 16
    assert np.array_equal(np.bincount(data.validation.labels), [4] * CLASSES)


@pytest.mark.parametrize("reads", [1, 7, 79, 80])
def test_the_size_of_a_read_does_not_matter(paths, monkeypatch, reads):
    monkeypatch.setattr(source_module, "_RECORDS_PER_READ", reads)
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


# What is refused


def test_labels_and_images_that_are_not_what_is_declared(paths, small_reads):
    import tensorflow_datasets as tfds

    kinds = tfds.features
    declared = {"image": kinds.Image(shape=SHAPE), "label": kinds.ClassLabel(num_classes=3)}
    images, labels = make_examples(20, 0)
    wrong = np.where(np.arange(20) == 15, 3, labels % 3)
    splits = {"train": (images, wrong), "test": (images, wrong)}
    write_set(paths["data_dir"], "labels", declared=declared, splits=splits)
    with refused(r"labels:1\.0\.0 test in .*: label 15 is 3; allowed: 0\.\.2"):
        load_data("labels", **paths)
    mixed = [*images[:15], images[15][:, :4], *images[16:]]
    write_set(
        paths["data_dir"], "shapes", splits={"train": (mixed, labels), "test": (mixed, labels)}
    )
    with refused(r"shapes:1\.0\.0 test in .*: image 15 has the shape \(6, 4, 3\), not \(6, 5, 3\)"):
        load_data("shapes", **paths)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_both_train_and_test_are_needed(paths, missing):
    splits = {"train": make_examples(20, 0), "test": make_examples(20, 1)}
    splits["validation"] = splits.pop(missing)
    write_set(paths["data_dir"], splits=splits)
    with refused(rf"data\.name: 'tiny' has no '{missing}' split; .*'validation'"):
        load_data("tiny", **paths)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fashion_mnst", "did you mean 'fashion_mnist'"),
        ("tinny", "did you mean 'tiny'"),
        ("nothing_like_that_at_all", r"allowed: 'digits' or .* set$"),
        ("cifar10/huge", "no such configuration; allowed: 'cifar10' without one$"),
        ("imagenet_resized/32x23", "no such configuration; allowed: .* mean '32x32'"),
        ("cifar10:0.0.9", r"in '.*': Dataset cifar10 cannot be loaded at version 0\.0\.9, only"),
        ("celeb_a", r" is not a set of \(image, label\)"),
        ("lfw", r"not a set of \(image, label\).*\('label', 'image'\)"),
        ("imagenet2012", r"images uint8\[None, None, 3\]; allowed: .*one fixed shape"),
        ("huggingface:mnist", r"written name\[/configuration\]\[:version\]"),
        ("../tiny", r"written name"),
        ("mnist/x=3", r"written name"),
        ("", "written name"),
        (None, "written name"),
    ],
)
def test_names_that_are_refused(paths, name, message):
    write_set(paths["data_dir"])
    for check in (check_data_name, lambda name, _: load_data(name, **paths)):
        with refused(rf"^data\.name: {re.escape(repr(name))}.*{message}"):
            check(name, paths["data_dir"])
    assert not paths["cache_dir"].exists()


@pytest.mark.parametrize("name", ["tiny", "tiny:1.0.0", "mnist", "cifar100", "svhn_cropped"])
def test_names_that_are_allowed_whether_prepared_or_not(paths, name):
    write_set(paths["data_dir"])
    check_data_name(name, paths["data_dir"])


def test_without_tensorflow_a_set_must_be_prepared(paths, monkeypatch):
    monkeypatch.setattr(source_module, "find_spec", lambda name: None)
    with refused(
        r"data\.name: 'mnist' is not prepared in data\.data_dir '.*/tfds'; "
        r".*TFDS_DATA_DIR.*pip install \"silo-jax\[tfds-prepare\]\""
    ):
        load_data("mnist", **paths)
    write_set(paths["data_dir"], "mnist", "1.0.0")
    with refused(r"not prepared in .* at version \d\.\d\.\d \(only at 1\.0\.0\)"):
        load_data("mnist", **paths)


def test_what_tfds_cannot_prepare_is_one_line(paths, monkeypatch):
    import tensorflow_datasets as tfds

    def fails(self):
        raise ConnectionError("no such host\nand so on")

    monkeypatch.setattr(source_module, "find_spec", lambda name: object())
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fails)
    with refused("'mnist' is not prepared .* cannot prepare it: no such host$", RuntimeError):
        load_data("mnist", **paths)


def test_what_tfds_prepares_is_array_record(paths, monkeypatch):
    import tensorflow_datasets as tfds

    formats = []

    def fake(self):
        formats.append(self.info.file_format.value)
        raise RuntimeError("enough")

    monkeypatch.setattr(source_module, "find_spec", lambda name: object())
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fake)
    with refused("enough", RuntimeError):
        load_data("mnist", **paths)
    assert formats == ["array_record"]


def test_tfrecord_is_refused(paths):
    directory, _ = write_set(paths["data_dir"])
    edit_info(directory, lambda info: info.update(fileFormat="tfrecord"))
    with refused(r"data\.data_dir: tiny:1\.0\.0 test in '.*' is prepared as tfrecord, .*allowed:"):
        load_data("tiny", **paths)


def test_records_that_are_gone_are_one_line(paths):
    directory, _ = write_set(paths["data_dir"])
    for records in directory.glob("*array_record*"):
        records.unlink()
    with refused(r"data\.data_dir: cannot read .*tiny:1\.0\.0 test", RuntimeError):
        load_data("tiny", **paths)


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
