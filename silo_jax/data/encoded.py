"""Sets of encoded images of any size, which stay on disk and are read one at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from silo_jax.data.crops import Box, decode_box
from silo_jax.data.splits import check_labels


class EncodedImages(Protocol):
    """Image files by number; picklable, as other processes read from it too."""

    def __getitem__(self, number: int, /) -> bytes:
        """The file: JPEG, PNG or another that Pillow reads."""
        ...

    def where(self, number: int, /) -> str:
        """What that file is, for a message."""
        ...


@dataclass(frozen=True)
class EncodedSplit:
    """A split whose images stay on disk.

    Attributes:
      files: the image files, more than those of this split perhaps.
      numbers: int64, of shape (n,): which of the files are the images of this split.
      labels: int32, of shape (n,).
    """

    files: EncodedImages
    numbers: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def decoded(self, index: int, size: int, choose_box: Callable[[int, int], Box]) -> np.ndarray:
        """A box of an image: see `decode_box`.

        Raises:
          RuntimeError: the image cannot be read or decoded, with what and where it is.
        """
        number = int(self.numbers[index])
        try:
            return decode_box(self.files[number], size, choose_box)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            where = self.files.where(number)
            raise RuntimeError(f"data.data_dir: cannot read {where}: {reason}") from error

    def take(self, indices: np.ndarray, labels: np.ndarray | None = None) -> "EncodedSplit":
        """The split of some of its images, with other labels where they are given."""
        labels = self.labels[indices] if labels is None else labels
        return EncodedSplit(self.files, self.numbers[indices], labels)


@dataclass(frozen=True)
class EncodedData:
    """An image-classification set that is streamed.

    Attributes:
      name: its name.
      version: its version; empty for a folder.
      classes: names of the classes, by label.
      train: what is left of the train split without the validation split.
      validation: split off train, stratified and seeded.
      test: the set's own held-out split.

    Raises:
      ValueError: a split is empty or a label out of range.
    """

    name: str
    version: str
    classes: Sequence[str]
    train: EncodedSplit
    validation: EncodedSplit
    test: EncodedSplit

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            split = getattr(self, name)
            if len(split) == 0:
                raise ValueError(f"{self.name} {name}: 0 images; allowed: at least 1")
            check_labels(split.labels, self.num_classes, f"{self.name} {name}")

    @property
    def num_classes(self) -> int:
        """Labels are 0..num_classes - 1."""
        return len(self.classes)
