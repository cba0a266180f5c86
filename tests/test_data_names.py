"""The sets of the paper under their own names, in the layout and with the features of TFDS."""

import numpy as np
import pytest

from silo_jax.data import load_data, open_data
from silo_jax.data.classes import chosen_labels
from tests.jpeg_sets import LABELS, NUM_HELD_OUT, NUM_TRAIN, write_folder, write_imagenet
from tests.tfds_sets import assert_holds, make_examples, png, refused, write_set

tfds = pytest.importorskip("tensorflow_datasets")


def write_named(data_dir, name, splits):
    """Writes a set of TFDS with small pixels of its own shape and labels 0..3."""
    builder = tfds.builder(name, data_dir=data_dir)
    shape = builder.info.features["image"].shape
    held = {
        split: make_examples(count, seed, shape)
        for seed, (split, count) in enumerate(splits.items())
    }
    encoded = {
        split: ([png(image.squeeze()) for image in images], labels)
        for split, (images, labels) in held.items()
    }
    name, _, config = name.partition("/")
    version = str(builder.version)
    features = dict(builder.info.features)
    write_set(data_dir, name, version, config=config, splits=encoded, features=features)
    return held


@pytest.mark.parametrize(
    ("name", "num_classes"),
    [("mnist", 10), ("fashion_mnist", 10), ("kmnist", 10), ("cifar10", 10), ("cifar100", 100)],
)
def test_sets_with_train_and_test(paths, name, num_classes):
    held = write_named(paths["data_dir"], name, {"train": 40, "test": 8})
    data = load_data(name, **paths)
    assert (data.name, data.num_classes) == (name, num_classes)
    assert_holds(data, held)


def test_the_extra_split_of_svhn_is_not_used(paths):
    held = write_named(paths["data_dir"], "svhn_cropped", {"train": 40, "test": 8, "extra": 60})
    assert_holds(load_data("svhn_cropped", **paths), held)


@pytest.mark.parametrize("side", [32, 64])
def test_the_test_split_of_imagenet_resized_is_its_own_validation_split(paths, side):
    name = f"imagenet_resized/{side}x{side}"
    held = write_named(paths["data_dir"], name, {"train": 40, "validation": 12})
    data = load_data(name, validation_fraction=0.2, **paths)
    assert (data.name, data.num_classes) == (name, 1000)
    assert data.train.images.shape == (32, side, side, 3)
    assert np.array_equal(np.bincount(data.validation.labels), [2] * 4)
    assert_holds(data, {"train": held["train"], "test": held["validation"]})


# imagenet2012


@pytest.fixture
def imagenet(paths):
    return write_imagenet(paths["data_dir"])[1]


def encoded(split):
    return [split.files[number] for number in split.numbers]


def test_the_test_split_of_imagenet_is_the_one_with_labels(paths, imagenet):
    data = open_data("imagenet2012", validation_fraction=0.2, **paths)
    assert (data.name, data.version, data.num_classes) == ("imagenet2012", "5.1.0", 1000)
    assert encoded(data.test) == imagenet["validation"][0]
    assert np.array_equal(data.test.labels, imagenet["validation"][1])
    parts = [*encoded(data.train), *encoded(data.validation)]
    assert sorted(parts) == sorted(imagenet["train"][0])
    assert len(data.validation) == NUM_TRAIN // 5
    assert np.array_equal(np.unique(data.validation.labels, return_counts=True)[1], [2] * 4)


def test_the_version_before_imagenet_had_a_test_split(paths):
    _, held = write_imagenet(paths["data_dir"], version="5.0.0", with_test=False)
    data = open_data("imagenet2012:5.0.0", **paths)
    assert data.version == "5.0.0"
    assert encoded(data.test) == held["validation"][0]


def test_labels_are_read_once(paths, imagenet, monkeypatch):
    from silo_jax.data import tfds_records

    first = open_data("imagenet2012", **paths)
    monkeypatch.setattr(tfds_records, "_blocks", None)
    again = open_data("imagenet2012", **paths)
    assert np.array_equal(again.train.labels, first.train.labels)
    labels = paths["cache_dir"] / "imagenet2012/5.1.0/train_labels/labels.npy"
    np.save(labels, np.load(labels)[1:])
    with refused(
        r"imagenet2012:5\.1\.0 train is damaged \(labels int32\[39\]\): remove '.*_labels"
    ):
        open_data("imagenet2012", **paths)


# Some of the classes


def test_some_classes_in_the_order_of_the_list(paths, imagenet, tmp_path):
    names = [LABELS[999], LABELS[0], LABELS[7]]
    listed = tmp_path / "wnids.txt"
    listed.write_text("\n".join(names) + "\n")
    for classes in (names, str(listed), (999, LABELS[0], 7), f"{LABELS[999]}, 0,7"):
        data = open_data("imagenet2012", classes=classes, **paths)
        assert data.classes == names
        expected = [
            (image, names.index(LABELS[label]))
            for image, label in zip(*imagenet["validation"], strict=True)
            if label != 1
        ]
        assert len(expected) < NUM_HELD_OUT
        assert [*zip(encoded(data.test), data.test.labels.tolist(), strict=True)] == expected
        assert {*data.train.labels.tolist()} == {0, 1, 2}


def test_a_number_in_a_list_is_a_name_where_there_is_one():
    names = ["1", "10", "2"]
    assert chosen_labels("1,2", names).tolist() == [0, 2]
    assert chosen_labels("2,10", names).tolist() == [2, 1]
    assert chosen_labels("0,2", names).tolist() == [0, 2], "no name, so a label"
    assert chosen_labels((1, 2), names).tolist() == [1, 2], "numbers are labels"


def test_some_classes_of_a_set_in_memory():
    every, some = load_data("digits"), load_data("digits", classes=("7", "1"))
    assert some.num_classes == 2
    of_two = np.isin(every.test.labels, (7, 1))
    assert np.array_equal(some.test.images, every.test.images[of_two])
    assert np.array_equal(some.test.labels, np.where(every.test.labels[of_two] == 7, 0, 1))
    count = sum(np.isin(split.labels, (7, 1)).sum() for split in (every.train, every.validation))
    assert len(some.train) + len(some.validation) == count


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "bea"), r"'bea'; allowed: a name or label of the set's 3 classes .*'bee'"),
        (("cat", 3), "3; allowed: a name or label"),
        (("cat", -1), "-1; allowed: a name or label"),
        (("cat", True), "True; allowed: a name or label"),
        (("cat", None), "None; allowed: a name or label"),
        (("cat", ["bee"]), r"\['bee'\]; allowed: a name or label"),
        (("cat", "ant", 2), "'cat' 2 times; allowed: each class once"),
        (("cat",), r"\('cat',\); allowed: two classes or more"),
        ("no/such/file", r"'no/such/file'; allowed: names of classes, or a text file"),
    ],
)
def test_classes_that_are_refused(classes, message):
    with refused(rf"^data\.classes: {message}"):
        chosen_labels(classes, ["ant", "bee", "cat"])


def test_an_empty_list_of_classes_is_refused(tmp_path):
    (tmp_path / "none.txt").write_text("\n")
    with refused(r"^data\.classes: '.*none\.txt' is empty; allowed"):
        chosen_labels(str(tmp_path / "none.txt"), ["ant", "bee"])


# Folders


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_a_folder_of_images_by_class(tmp_path, held_out):
    content = write_folder(tmp_path, held_out_name=held_out)
    (tmp_path / "train" / ".DS_Store").write_text("")
    data = open_data("folder", data_dir=tmp_path, validation_fraction=0.3)
    assert data.classes == ["ant", "bee", "cat"]
    assert encoded(data.test) == [file for name in data.classes for file in content[held_out, name]]
    found = [
        (data.classes[label], file)
        for split in (data.train, data.validation)
        for label, file in zip(split.labels, encoded(split), strict=True)
    ]
    written = [(name, f) for (s, name), files in content.items() if s == "train" for f in files]
    assert sorted(found) == sorted(written)
    assert {*data.validation.labels.tolist()} == {0, 1, 2}


def test_folders_that_are_refused(tmp_path):
    for data_dir in (None, "", tmp_path / "nowhere"):
        with refused(r"^data\.data_dir: '.*' with data\.name='folder'; allowed: .*train/<class>/"):
            open_data("folder", data_dir=data_dir)
    write_folder(tmp_path)
    notes = tmp_path / "train" / "bee" / "notes.txt"
    notes.write_text("")
    with refused(r"^data\.data_dir: '.*train/bee/notes\.txt'; allowed: images \(\.bmp, \.jpeg"):
        open_data("folder", data_dir=tmp_path)
    notes.unlink()
    (tmp_path / "test" / "dog").mkdir()
    with refused(r"^data\.data_dir: '.*test/dog'; allowed: the classes of train"):
        open_data("folder", data_dir=tmp_path)
    (tmp_path / "test" / "dog").rmdir()
    for file in (tmp_path / "test" / "cat").iterdir():
        file.unlink()
    with refused(r"^data\.data_dir: '.*test/cat' has no images; allowed: images"):
        open_data("folder", data_dir=tmp_path)
