"""Small sets in the layout of TensorFlow Datasets, written here without TensorFlow."""

import io
import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from silo_jax.data import tfds_records as records_module

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
                for key in {*features} - {*example}:
                    is_text = isinstance(features[key], kinds.Text)
                    example[key] = f"{split}_{index}" if is_text else 0
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
    monkeypatch.setattr(records_module, "_RECORDS_PER_READ", 10)


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
