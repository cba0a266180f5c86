"""Laws of streamed batches: crops, order, where a stream begins, workers and processes."""

import io
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from silo_jax.data import open_data
from silo_jax.data.crops import central_box, decode_box, random_box
from silo_jax.data.stream import EvalBatches, Share, TrainBatches, stream
from tests.jpeg_sets import jpeg, picture, write_folder, write_imagenet
from tests.tfds_sets import refused

pytest.importorskip("grain")
pytest.importorskip("tensorflow_datasets")

SIZE = 16


# Crops


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    width=st.integers(1, 900),
    height=st.integers(1, 900),
    min_area=st.floats(0.01, 1),
    seed=st.integers(0, 99),
)
def test_a_random_box_lies_within_the_image_and_is_no_smaller_than_asked(
    width, height, min_area, seed
):
    left, top, right, bottom = random_box(np.random.default_rng(seed), width, height, min_area)
    assert 0 <= left < right <= width * (1 + 1e-12)
    assert 0 <= top < bottom <= height * (1 + 1e-12)
    ratio = (right - left) / (bottom - top)
    assert 0.75 - 1e-9 <= ratio <= 4 / 3 + 1e-9
    share = (right - left) * (bottom - top) / (width * height)
    is_largest = np.isclose(right - left, width) or np.isclose(bottom - top, height)
    assert share >= min_area - 1e-9 or is_largest


def test_the_area_of_random_boxes_is_uniform():
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(rng, 400, 400, 0.08) for _ in range(4000)])
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 400**2
    # Boxes of a large share fit less often; below 3/4, whatever the aspect ratio, all of them do.
    counts, _ = np.histogram(shares, bins=6, range=(0.08, 0.74))
    assert np.ptp(counts) < 0.25 * counts.mean()
    centres = (boxes[:, 0] + boxes[:, 2]) / 2
    assert abs(centres.mean() - 200) < 5


def whole_box(width, height):
    return 0, 0, width, height


def test_the_centre_is_that_of_resizing_to_256_and_cropping_224():
    image = picture(3, 96, 64)
    resized = Image.fromarray(image).resize((96 * 32 // 64, 32), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[2:30, 10:38]
    found = decode_box(jpeg(image), 28, central_box)
    assert np.abs(found.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("size", [20, 50, 99])
def test_a_large_jpeg_decoded_at_a_fraction_of_its_size_looks_the_same(size):
    image = picture(1, 800, 640)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    for box in (whole_box, central_box, lambda width, height: (100, 200, 300, 450)):
        found, expected = (decode_box(f, size, box) for f in (jpeg(image), file.getvalue()))
        assert np.abs(found.astype(int) - expected).mean() < 2
    assert found.shape == (size, size, 3)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P", "1"])
def test_images_of_other_kinds_become_rgb(mode):
    file = io.BytesIO()
    image = Image.fromarray(picture(1, 30, 20)).convert(mode)
    image.save(file, "JPEG" if mode in ("L", "CMYK") else "PNG")
    found = decode_box(file.getvalue(), 8, whole_box)
    expected = np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BILINEAR))
    assert found.shape == (8, 8, 3)
    assert np.abs(found.astype(int) - expected).mean() < 4


# Streams of imagenet2012


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet")
    write_imagenet(root / "tfds")
    return open_data(
        "imagenet2012",
        data_dir=root / "tfds",
        cache_dir=root / "cache",
        validation_fraction=0.2,
        progress=False,
    )


def train_batches(data, **changes):
    """Of 32 images: 4 batches an epoch; cycles of one epoch and a half."""
    fields = {"image_size": SIZE, "batch_size": 8, "seed": 3, "steps_per_cycle": 6}
    return TrainBatches(data.train, **fields | changes)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        for left, right in zip(a, b, strict=True):
            assert left.dtype == right.dtype
            assert np.array_equal(left, right)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_from_any_step_is_that_part_of_the_whole_whatever_workers_are_told(data, workers):
    batches = train_batches(data)
    whole = [batches[step] for step in range(14)]
    streamed = stream(batches, range(5, 14), workers=workers)
    first = next(streamed)
    assert len(multiprocessing.active_children()) == workers
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGINT)
    assert_same([first, *streamed], whole[5:])
    assert_same(stream(batches, range(14)), whole)
    assert whole[0].images.shape == (8, SIZE, SIZE, 3)
    assert (whole[0].images.dtype, whole[0].labels.dtype) == (np.uint8, np.int32)
    assert all(batch.weights.all() for batch in whole)


class Numbered:
    """Image files that are coloured by their number."""

    def __getitem__(self, number):
        return jpeg(np.full((8, 8, 3), 8 * number, np.uint8))

    def where(self, number):
        return f"number {number}"


def numbers_of(batches, steps):
    images = np.concatenate([batches[step].images for step in steps])
    return np.rint(images.mean(axis=(1, 2, 3)) / 8).astype(int).tolist()


@pytest.fixture
def numbered(data):
    split = replace(data.train, files=Numbered(), numbers=np.arange(len(data.train)))
    return replace(data, train=split)


def test_every_image_comes_once_an_epoch_with_its_label(numbered):
    batches = train_batches(numbered, batch_size=5)
    assert batches.steps_per_epoch == 6
    orders = []
    for first in (0, 6, 12):
        steps = range(first, first + 6)
        order = numbers_of(batches, steps)
        assert len({*order}) == 30
        labels = np.concatenate([batches[step].labels for step in steps])
        assert np.array_equal(labels, numbered.train.labels[order])
        orders.append(tuple(order))
    other = train_batches(numbered, batch_size=5, seed=2**40 + 3)
    orders.append(tuple(numbers_of(other, range(6))))
    assert len({*orders}) == 4


def test_an_epoch_begins_with_every_cycle(numbered):
    batches = train_batches(numbered)
    assert len({*numbers_of(batches, range(4, 6))}) == 16
    assert len({*numbers_of(batches, range(6, 10))}) == 32


def test_an_image_is_cropped_anew_in_every_epoch(data):
    one = replace(data, train=data.train.take(np.array([4])))
    crops = train_batches(one, batch_size=1, steps_per_cycle=4)
    assert len({crops[step].images.tobytes() for step in range(8)}) == 8


@pytest.mark.parametrize("count", [2, 4])
def test_the_shares_of_processes_are_the_batch_of_one(data, count):
    shares = [Share(index, count) for index in range(count)]
    for make, steps in (
        (lambda share: train_batches(data, share=share), (0, 5, 9)),
        (lambda share: EvalBatches(data.test, SIZE, 8, share), (0, 1)),
    ):
        for step in steps:
            parts = [make(share)[step] for share in shares]
            assert_same(
                [tuple(map(np.concatenate, zip(*parts, strict=True)))], [make(Share())[step]]
            )


def test_an_evaluation_has_every_image_once_and_then_what_does_not_count(data):
    batches = EvalBatches(data.test, SIZE, 8)
    found = list(stream(batches, range(len(batches))))
    images, labels, weights = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    assert weights.tolist() == [True] * 12 + [False] * 4
    assert np.array_equal(labels[:12], data.test.labels)
    for index in range(12):
        encoded = data.test.files[int(data.test.numbers[index])]
        assert np.array_equal(images[index], decode_box(encoded, SIZE, central_box))


def test_no_more_is_read_ahead_than_there_are_threads():
    asked = []

    class Noted:
        def __getitem__(self, step):
            asked.append(step)
            return step

    batches = stream(Noted(), range(10_000))
    assert [next(batches) for _ in range(5)] == [0, 1, 2, 3, 4]
    time.sleep(0.1)
    assert len(asked) <= 5 + os.cpu_count()
    batches.close()


def test_a_damaged_image_is_one_line_with_its_path_after_the_batches_before_it(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "test" / "cat" / "0.jpeg").write_bytes(b"no image")
    truncated = tmp_path / "test" / "cat" / "1.jpeg"
    truncated.write_bytes(truncated.read_bytes()[:-200])
    data = open_data("folder", data_dir=tmp_path, validation_fraction=0.3)
    batches = EvalBatches(data.test, SIZE, 2)
    for workers in (0, 1):
        streamed = stream(batches, range(3), workers=workers)
        assert_same([next(streamed), next(streamed)], [batches[0], batches[1]])
        with refused(
            r"^data\.data_dir: cannot read '.*test/cat/0\.jpeg': cannot identify", RuntimeError
        ):
            next(streamed)
    with refused(r"cannot read '.*test/cat/1\.jpeg': image file is truncated", RuntimeError):
        data.test.decoded(5, SIZE, central_box)


def test_a_damaged_record_is_named_by_its_number(data):
    damaged = replace(data.train, files=replace(data.train.files, image_key="file_name"))
    number = damaged.numbers[2]
    with refused(
        rf"^data\.data_dir: cannot read image {number} of imagenet2012:5\.1\.0 train in '",
        RuntimeError,
    ):
        damaged.decoded(2, SIZE, central_box)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 0}, r"data\.image_size: 0; allowed: an integer of at least 1"),
        ({"batch_size": 33}, r"training\.batch_size: 33; allowed: at most the 32 training images"),
        ({"min_area": 0.0}, r"data\.min_area: 0\.0; allowed: in \(0, 1\]"),
        ({"share": Share(0, 3)}, r"training\.batch_size: 8; allowed: a multiple of the 3 proc"),
    ],
)
def test_batches_that_are_refused(data, changes, message):
    with refused(f"^{message}"):
        train_batches(data, **changes)


def test_workers_are_checked_before_the_first_batch(data):
    with refused(r"^data\.workers: -1; allowed: an integer of at least 0"):
        stream(train_batches(data), range(1), workers=-1)
