"""Sets that cannot be read are refused in one line."""

import re

import numpy as np
import pytest

from silo_jax.data import ImageData, Split, check_data_name, load_data
from silo_jax.data import tfds_source as source_module
from tests.tfds_sets import CLASSES, SHAPE, edit_info, make_examples, refused, write_set

pytest.importorskip("tensorflow_datasets")


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
    with refused(
        r"shapes:1\.0\.0 test in .*: image 15 has the shape \(6, 4, 3\); allowed: \(6, 5, 3\)"
    ):
        load_data("shapes", **paths)


@pytest.mark.parametrize(
    ("splits", "missing", "there"),
    [
        (("validation", "test"), "train", "'validation', 'test'"),
        (("train", "extra"), "test", "'train', 'extra'"),
    ],
)
def test_both_train_and_a_held_out_split_are_needed(paths, splits, missing, there):
    write_set(paths["data_dir"], splits={name: make_examples(20, 0) for name in splits})
    with refused(
        rf"data\.name: 'tiny' has no '{missing}' split; allowed: .*'train' and 'test', or"
        rf" 'validation' for 'test' \(this one has {there}\)"
    ):
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
        ("huggingface:mnist", "allowed: MODULE:NAME of a class or function that can be imported"),
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


def test_what_is_streamed_and_what_is_not(paths, tmp_path):
    with refused(r"^data\.name: 'folder' is streamed; allowed: data\.image_size above 0"):
        check_data_name("folder", tmp_path)
    with refused(r"^data\.name: 'digits' cannot be streamed; allowed: data\.image_size=0"):
        check_data_name("digits", streamed=True)
    with refused(r"^data\.data_dir: '.*' with data\.name='folder'; allowed: .*train/<class>/"):
        check_data_name("folder", tmp_path, streamed=True)
    check_data_name("imagenet2012", paths["data_dir"], streamed=True)
    check_data_name("imagenet_resized/32x32", paths["data_dir"])


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


IMAGES, LABELS = make_examples(8, 0)


def with_nan():
    images = IMAGES.astype(np.float32)
    images[5, 1, 2] = np.nan
    return images


def of_several_shapes():
    images = np.empty(8, object)
    images[:] = [*IMAGES[:6], IMAGES[6][:4], IMAGES[7]]
    return images


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (with_nan(), LABELS, r"^images: NaN at index \[5, 1, 2, 0\]; allowed: uint8\["),
        (of_several_shapes(), LABELS, r"^images: index 6 has the shape \(4, 5, 3\), 0 has \(6, 5"),
        (IMAGES / np.float32(255), LABELS, r"^images: float32\[8, 6, 5, 3\]; allowed: uint8\["),
        (IMAGES[..., 0], LABELS, r"^images: uint8\[8, 6, 5\]; allowed: uint8\[n, h, w, c\]"),
        (IMAGES[:, :0], LABELS, r"^images: uint8\[8, 0, 5, 3\]; allowed"),
        (list(IMAGES), LABELS, r"^images: list; allowed: uint8\["),
        (IMAGES, LABELS[:7], r"^labels: int32\[7\]; allowed: int32\[8\]"),
        (IMAGES, np.where(LABELS == 3, np.nan, LABELS), r"^labels: NaN at index \[3\]; allowed"),
        (IMAGES, None, r"^labels: NoneType; allowed: int32\[8\]"),
    ],
)
def test_a_split_that_is_no_set_of_images_is_refused_with_the_index(images, labels, message):
    with refused(message):
        Split(images, labels)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:0], LABELS[:0], "0 images; allowed: at least 1"),
        (IMAGES, np.where(np.arange(8) == 5, 4, LABELS).astype(np.int32), "label 5 is 4; allowed"),
        (IMAGES, LABELS - 1, r"label 0 is -1; allowed: 0\.\.3"),
    ],
)
def test_a_set_with_an_unsound_split_is_refused_with_the_index(name, images, labels, message):
    sound = Split(IMAGES, LABELS)
    splits = dict.fromkeys(["train", "validation", "test"], sound)
    ImageData("x", "1.0.0", CLASSES, **splits)
    with refused(rf"^x {name}: {message}"):
        ImageData("x", "1.0.0", CLASSES, **splits | {name: Split(images, labels)})


def test_one_class_and_splits_of_two_shapes_are_refused():
    sound, one = Split(IMAGES, LABELS), Split(IMAGES, np.full(8, 2, np.int32))
    with refused(r"^x train: labels 0\.\.7 are all 2; allowed: two classes or more"):
        ImageData("x", "1.0.0", CLASSES, one, one, sound)
    grey = Split(IMAGES[..., :1], LABELS)
    with refused(r"^x test: images \(6, 5, 1\); allowed: \(6, 5, 3\), as in train"):
        ImageData("x", "1.0.0", CLASSES, sound, sound, grey)


def test_sets_on_disk_that_are_empty_or_too_small_are_refused(paths):
    none, some = make_examples(0, 0), make_examples(20, 0)
    write_set(paths["data_dir"], "empty", splits={"train": none, "test": some})
    with refused(r"^data\.name: 'empty' has 0 images in 'train'; allowed: at least 1"):
        load_data("empty", **paths)
    alone = (some[0], np.where(np.arange(20) == 7, 3, LABELS[0]).astype(np.int32))
    write_set(paths["data_dir"], "alone", splits={"train": alone, "test": some})
    with refused(r"^data\.validation_fraction: 0\.1 of .* alone: label 7 is the only 3; allowed"):
        load_data("alone", **paths)
    one = (some[0], np.full(20, 1, np.int32))
    write_set(paths["data_dir"], "one", splits={"train": one, "test": some})
    with refused(r"^one train: labels 0\.\.17 are all 1; allowed: two classes or more"):
        load_data("one", **paths)
