"""A folder of images by class: ``train/<class>/*.jpeg`` and ``test/<class>/*.jpeg``."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silo_jax.data.encoded import EncodedSplit

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


@dataclass(frozen=True)
class ImageFiles:
    """Files of images under one directory.

    Attributes:
      root: the directory.
      paths: of the files, relative to it.
    """

    root: Path
    paths: tuple[str, ...]

    def __getitem__(self, number: int) -> bytes:
        return (self.root / self.paths[number]).read_bytes()

    def where(self, number: int) -> str:
        return repr(str(self.root / self.paths[number]))


def find_folder(data_dir: str | os.PathLike[str] | None) -> tuple[Path, Path, list[str]]:
    """The directories of train and test, and the names of the classes in alphabetical order.

    The held-out split is ``test``, or ``val`` where there is no ``test``.

    Raises:
      ValueError: there is no such directory, or train has fewer than two classes.
    """
    root = Path(data_dir or "").expanduser()
    train, held_out = root / "train", [root / "test", root / "val"]
    test = next((path for path in held_out if path.is_dir()), None)
    if not data_dir or not train.is_dir() or test is None:
        raise ValueError(
            f"data.data_dir: {str(data_dir or '')!r} with data.name='folder'; allowed: a directory"
            " with train/<class>/ and test/<class>/ or val/<class>/"
        )
    classes = _entries(train)
    if len(classes) < 2:
        raise ValueError(f"data.data_dir: {str(train)!r}: classes {classes}; allowed: two or more")
    return train, test, classes


def folder_split(directory: Path, classes: list[str]) -> EncodedSplit:
    """The images of a directory of classes, in alphabetical order.

    Args:
      directory: has a directory of images for every class.
      classes: names of the classes, by label.

    Raises:
      ValueError: a class is missing, unknown or empty, or a file is not called as an image is.
    """
    unknown = sorted({*_entries(directory)} - {*classes})
    if unknown:
        raise ValueError(
            f"data.data_dir: {str(directory / unknown[0])!r}; allowed: the classes of train"
        )
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = _images(directory / name)
        paths += [f"{name}/{file}" for file in found]
        labels += [label] * len(found)
    files = ImageFiles(directory, tuple(paths))
    return EncodedSplit(files, np.arange(len(paths)), np.array(labels, np.int32))


def _images(directory: Path) -> list[str]:
    files = _entries(directory) if directory.is_dir() else []
    for file in files:
        if not file.lower().endswith(SUFFIXES):
            raise ValueError(f"data.data_dir: {str(directory / file)!r}; allowed: {_ALLOWED}")
    if not files:
        raise ValueError(f"data.data_dir: {str(directory)!r} has no images; allowed: {_ALLOWED}")
    return files


def _entries(directory: Path) -> list[str]:
    """What is in a directory, without hidden files."""
    return sorted(name for name in os.listdir(directory) if not name.startswith("."))


_ALLOWED = f"images ({', '.join(SUFFIXES)})"
