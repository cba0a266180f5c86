"""What a data set is here, and how a part of one is split off."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Images and their labels, which may be memory maps.

    Attributes:
      images: uint8, of shape (n, h, w, c).
      labels: int32, of shape (n,).

    Raises:
      ValueError: if types or shapes are others.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"images is {images.dtype}{list(images.shape)}: not uint8[n, h, w, c]")
        if labels.dtype != np.int32 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels is {labels.dtype}{list(labels.shape)}: not int32[{len(images)}]"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """An image-classification data set, ready to train on.

    Attributes:
      name: its name, with the configuration where it has one: "imagenet_resized/32x32".
      version: its version: "3.0.1".
      num_classes: labels are 0..num_classes - 1.
      train: what is left of the train split without the validation split.
      validation: split off train, stratified and seeded.
      test: the data set's own test split, never touched by a seed.

    Raises:
      ValueError: if a label is out of range.
    """

    name: str
    version: str
    num_classes: int
    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            check_labels(getattr(self, split).labels, self.num_classes, f"{self.name} {split}")


def check_labels(labels: np.ndarray, num_classes: int, where: str, start: int = 0) -> None:
    """Raises ValueError that gives the first label outside 0..num_classes - 1 and its index.

    Args:
      labels: integers of shape (n,).
      num_classes: number of classes.
      where: what the labels belong to, for the message.
      start: index of the first label there.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        index = int(wrong[0])
        raise ValueError(
            f"{where}: label {start + index} is {labels[index]}; allowed: 0..{num_classes - 1}"
        )


def split_off(whole: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Splits `whole` at random into (what is left, a share of it), class by class.

    Both keep the order that `whole` has, and are copies in memory.

    Args:
      whole: the examples to split.
      fraction: share that goes into the second part, between 0 and 1; rounded up to an example.
      seed: from 0 to 2**32 - 1; the same seed gives the same parts.

    Raises:
      ValueError: if there are too few examples for each class to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    indices = np.arange(len(whole))
    rest, part = train_test_split(
        indices, test_size=fraction, stratify=whole.labels, random_state=seed
    )
    return _take(whole, np.sort(rest)), _take(whole, np.sort(part))


def _take(whole: Split, indices: np.ndarray) -> Split:
    return Split(np.asarray(whole.images[indices]), np.asarray(whole.labels[indices]))
