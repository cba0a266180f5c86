"""Decoded images on disk: decoded once, memory-mapped from then on.

A split lies in ``<cache>/<name>/<version>/<split>/`` as ``images.npy``, ``labels.npy`` and
``split.json``, which says what they were decoded from; labels alone, of images that are streamed,
in ``<split>_labels/``. The directory appears whole or not at all: it is written beside its place
under another name, and renamed.
"""

import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from silo_jax.data.splits import Split

Blocks = Iterable[tuple[np.ndarray, np.ndarray]]
_Advance = Callable[[int], None]
_Content = TypeVar("_Content")


@dataclass(frozen=True)
class CachedSplit:
    """What a cached split was decoded from; a cache that says anything else is refused.

    Attributes:
      name: name of the data set, with its configuration.
      version: its version.
      split: name of the split.
      num_examples: number of images.
      image_shape: height, width, channels.
      num_classes: labels are 0..num_classes - 1.
      encoded_bytes: size of the records, which tells two copies of one version apart.
    """

    name: str
    version: str
    split: str
    num_examples: int
    image_shape: tuple[int, ...]
    num_classes: int
    encoded_bytes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of all images."""
        return (self.num_examples, *self.image_shape)

    def __str__(self) -> str:
        return f"{self.name}:{self.version} {self.split}"


def cache_root(cache_dir: str | os.PathLike[str] | None) -> Path:
    """The argument, else ``$SILO_JAX_CACHE``, else ``silo-jax`` in the user's cache directory."""
    chosen = cache_dir or os.environ.get("SILO_JAX_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "silo-jax"


def cached_split(
    cached: CachedSplit,
    decode: Callable[[], Blocks],
    cache_dir: str | os.PathLike[str] | None,
    progress: bool,
) -> Split:
    """The split from the cache, to which it is written first if it is not there.

    Args:
      cached: what is wanted.
      decode: yields all images and labels in blocks, in order; called only if they are not there.
        It must not raise OSError, which is taken for a failure of the cache.
      cache_dir: see `cache_root`.
      progress: whether decoding is shown on stderr.

    Returns:
      Images as a read-only memory map, labels in memory.

    Raises:
      ValueError: the cache holds something else, or cannot be written.
    """
    directory = cache_root(cache_dir) / cached.name / cached.version / cached.split

    def write(directory: Path, advance: _Advance) -> None:
        _write_images(directory, cached, decode(), advance)

    def read(directory: Path) -> Split:
        images = np.load(directory / "images.npy", mmap_mode="r")
        split = Split(images, np.load(directory / "labels.npy"))
        if images.shape != cached.shape:
            raise ValueError(f"images {images.shape}")
        return split

    return _cached(directory, cached, write, read, progress)


def cached_labels(
    cached: CachedSplit,
    read_labels: Callable[[], Iterable[np.ndarray]],
    cache_dir: str | os.PathLike[str] | None,
    progress: bool,
) -> np.ndarray:
    """The labels of a split from the cache, to which they are written first if they are not there.

    Args:
      cached: what is wanted.
      read_labels: yields all labels in blocks, in order; called only if they are not there.
      cache_dir: see `cache_root`.
      progress: whether reading is shown on stderr.

    Returns:
      int32 of shape (num_examples,).

    Raises:
      ValueError: see `cached_split`.
    """
    cached = replace(cached, image_shape=())
    directory = cache_root(cache_dir) / cached.name / cached.version / f"{cached.split}_labels"

    def write(directory: Path, advance: _Advance) -> None:
        blocks = []
        for block in read_labels():
            blocks.append(block)
            advance(len(block))
        _write_labels(directory, cached, blocks)

    def read(directory: Path) -> np.ndarray:
        labels: np.ndarray = np.load(directory / "labels.npy")
        if labels.dtype != np.int32 or labels.shape != (cached.num_examples,):
            raise ValueError(f"labels {labels.dtype}{list(labels.shape)}")
        return labels

    return _cached(directory, cached, write, read, progress)


def _cached(
    directory: Path,
    cached: CachedSplit,
    write: Callable[[Path, _Advance], None],
    read: Callable[[Path], _Content],
    progress: bool,
) -> _Content:
    """What is read from a directory, which is written first if it is not there."""
    if not directory.exists():
        _create(directory, cached, write, progress)
    advice = f"remove {str(directory)!r}, or choose another data.cache_dir"
    expected = json.loads(json.dumps(asdict(cached)))
    try:
        found = dict(json.loads((directory / "split.json").read_text()))
        if found == expected:
            return read(directory)
    except (OSError, EOFError, TypeError, ValueError) as error:
        raise ValueError(f"the decoded {cached} is damaged ({error}): {advice}") from error
    key = next(key for key in {**expected, **found} if found.get(key) != expected.get(key))
    raise ValueError(
        f"the decoded {cached} is of another data set"
        f" ({key} {found.get(key)} instead of {expected.get(key)}): {advice}"
    )


def _create(
    directory: Path,
    cached: CachedSplit,
    write: Callable[[Path, _Advance], None],
    progress: bool,
) -> None:
    temporary = directory.with_name(f".{directory.name}-{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        with _shown(cached, directory, progress) as advance:
            write(temporary, advance)
        _publish(temporary, directory)
    except OSError as error:
        raise ValueError(
            f"data.cache_dir: cannot write the decoded {cached} ({error}); allowed: a directory"
            " that can be written and has room (--config.data.cache_dir or SILO_JAX_CACHE)"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_images(directory: Path, cached: CachedSplit, blocks: Blocks, advance: _Advance) -> None:
    """Writes images as they come: a full disk is an error here, where a memory map would crash."""
    labels = []
    with open(directory / "images.npy", "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": cached.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for images, block_labels in blocks:
            file.write(np.ascontiguousarray(images, np.uint8).data)
            labels.append(block_labels)
            advance(len(images))
        _sync(file)
    _write_labels(directory, cached, labels)


def _write_labels(directory: Path, cached: CachedSplit, labels: list[np.ndarray]) -> None:
    """Writes labels, and what they are the labels of."""
    count = sum(map(len, labels))
    if count != cached.num_examples:
        raise ValueError(f"{cached} has {count} records; its info says {cached.num_examples}")
    with open(directory / "labels.npy", "wb") as file:
        np.save(file, np.concatenate([np.empty(0, np.int32), *labels]))
        _sync(file)
    with open(directory / "split.json", "wb") as file:
        file.write(json.dumps(asdict(cached), indent=2).encode())
        _sync(file)


def _publish(temporary: Path, directory: Path) -> None:
    """Renames the whole directory; if another process was first, theirs stands."""
    try:
        os.rename(temporary, directory)
    except OSError:
        if not directory.exists():
            raise
    parent = os.open(directory.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _shown(cached: CachedSplit, directory: Path, progress: bool) -> Iterator[_Advance]:
    """A progress bar on a terminal, one line elsewhere; yields what is told of finished images."""
    title = f"{'Decoding' if cached.image_shape else 'Reading the labels of'} {cached}"
    if not (progress and sys.stderr.isatty()):
        if progress:
            print(f"{title}, {cached.num_examples} images, into {directory}", file=sys.stderr)
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=cached.num_examples)
        yield lambda count: bar.advance(task, count)
