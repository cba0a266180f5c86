"""The records of TensorFlow Datasets (TFDS), read without TensorFlow.

TFDS reads what it prepared as array_record with NumPy and Pillow alone.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from silo_jax.data.cache import CachedSplit, cached_labels, cached_split
from silo_jax.data.encoded import EncodedSplit
from silo_jax.data.splits import Split, check_labels
from silo_jax.data.tfds_source import TfdsImages, first_line, quiet

_RECORDS_PER_READ = 1000


def load_split(
    source: TfdsImages, split: str, *, cache_dir: str | os.PathLike[str] | None, progress: bool
) -> Split:
    """A split, decoded at the first call and memory-mapped from the cache ever after.

    Args:
      source: a prepared set.
      split: "train", "test" or "validation".
      cache_dir: see ``load_data``.
      progress: whether decoding is shown on stderr.

    Raises:
      ValueError: the set has no such split, or an empty one, or is prepared in a format without
        random access, or the cache holds something else.
      RuntimeError: the records cannot be read.
    """
    cached = _as_cached(source, split)
    return cached_split(cached, lambda: _decode(source, split), cache_dir, progress)


@dataclass(frozen=True)
class EncodedRecords:
    """The encoded images of a split of TFDS.

    Attributes:
      records: of TFDS, which leaves the image as it is encoded.
      image_key: feature that holds the image.
      name: of the split, for a message.
    """

    records: Any
    image_key: str
    name: str

    def __getitem__(self, number: int) -> bytes:
        return self.records[number][self.image_key]

    def where(self, number: int) -> str:
        return f"image {number} of {self.name}"


def encoded_split(
    source: TfdsImages, split: str, *, cache_dir: str | os.PathLike[str] | None, progress: bool
) -> EncodedSplit:
    """A split whose images stay encoded on disk.

    Labels lie in the records, beside the images: all of them are read once, for the labels, which
    are taken from the cache ever after.

    Args and errors are those of `load_split`.
    """
    from tensorflow_datasets import decode

    cached, where = _as_cached(source, split), _where(source, split)
    with _explained(source, where):
        records = source.builder.as_data_source(
            split=split, decoders={source.image_key: decode.SkipDecoding()}
        )

    def read() -> Iterator[np.ndarray]:
        for _, block in _blocks(source, records, where):
            yield np.array([record[source.label_key] for record in block], np.int32)

    labels = cached_labels(cached, read, cache_dir, progress)
    check_labels(labels, source.num_classes, where)
    files = EncodedRecords(records, source.image_key, where)
    return EncodedSplit(files, np.arange(len(labels)), labels)


def _as_cached(source: TfdsImages, split: str) -> CachedSplit:
    """What is cached of a split, if the set has it, with images in it."""
    splits = source.builder.info.splits
    if split not in splits:
        raise ValueError(
            f"data.name: {source.name!r} has no {split!r} split; allowed: a set with the splits"
            " 'train' and 'test', or 'validation' for 'test'"
            f" (this one has {', '.join(map(repr, splits)) or 'none'})"
        )
    if not splits[split].num_examples:
        raise ValueError(
            f"data.name: {source.name!r} has 0 images in {split!r}; allowed: at least 1"
        )
    return CachedSplit(
        name=source.name,
        version=source.version,
        split=split,
        num_examples=splits[split].num_examples,
        image_shape=source.image_shape,
        num_classes=source.num_classes,
        encoded_bytes=splits[split].num_bytes,
    )


def _where(source: TfdsImages, split: str) -> str:
    return f"{source.name}:{source.version} {split} in {source.data_dir!r}"


def _decode(source: TfdsImages, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields images and labels a thousand at a time, in the order of the records."""
    where = _where(source, split)
    with _explained(source, where):
        records = source.builder.as_data_source(split=split)
    for start, block in _blocks(source, records, where):
        images = [record[source.image_key] for record in block]
        labels = np.array([record[source.label_key] for record in block])
        _check_shapes(images, source.image_shape, where, start)
        check_labels(labels, source.num_classes, where, start)
        yield np.stack(images), labels.astype(np.int32)


def _blocks(source: TfdsImages, records: Any, where: str) -> Iterator[tuple[int, Any]]:
    """Yields records a thousand at a time, and which of them is the first."""
    for start in range(0, len(records), _RECORDS_PER_READ):
        stop = min(start + _RECORDS_PER_READ, len(records))
        with _explained(source, f"records {start}..{stop - 1} of {where}"):
            block = records.__getitems__(list(range(start, stop)))
        yield start, block


@contextmanager
def _explained(source: TfdsImages, what: str) -> Iterator[None]:
    """Turns whatever goes wrong while reading into one line."""
    try:
        with quiet():
            yield
    except NotImplementedError as error:
        raise ValueError(
            f"data.data_dir: {what} is prepared as {source.builder.info.file_format.value}, which"
            " only TensorFlow reads; allowed: a directory where it is prepared as array_record, or"
            ' an empty one to prepare it in, with TensorFlow: pip install "silo-jax[tfds-prepare]"'
        ) from error
    except Exception as error:
        raise RuntimeError(f"data.data_dir: cannot read {what}: {first_line(error)}") from error


def _check_shapes(images: list[np.ndarray], shape: tuple[int, ...], where: str, start: int) -> None:
    for index, image in enumerate(images, start):
        if image.shape != shape:
            raise ValueError(
                f"{where}: image {index} has the shape {image.shape}; allowed: {shape}"
            )
