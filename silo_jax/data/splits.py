"""What a data set is here, and how a part of one is split off."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Split:
    """Images and their labels, which may be memory maps.

    Attributes:
      images: uint8, of shape (n, h, w, c).
      labels: int32, of shape (n,).

    Raises:
      ValueError: types or shapes are others; of images that differ from one another, or hold NaN,
        the first is named by its index.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if not _is_array(images, np.uint8) or images.ndim != 4 or 0 in images.shape[1:]:
            raise ValueError(f"images: {_fault(images)}; allowed: uint8[n, h, w, c]")
        if not _is_array(labels, np.int32) or labels.shape != images.shape[:1]:
            raise ValueError(f"labels: {_fault(labels)}; allowed: int32[{len(images)}]")

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
      ValueError: a split is empty or has images of another shape than the others, a label is out
        of range, or there is one class only in the train split.
    """

    name: str
    version: str
    num_classes: int
    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        shape = self.train.images.shape[1:]
        for name in ("train", "validation", "test"):
            split, where = getattr(self, name), f"{self.name} {name}"
            if len(split) == 0:
                raise ValueError(f"{where}: 0 images; allowed: at least 1")
            if split.images.shape[1:] != shape:
                found = split.images.shape[1:]
                raise ValueError(f"{where}: images {found}; allowed: {shape}, as in train")
            check_labels(split.labels, self.num_classes, where)
        labels = self.train.labels
        if (labels == labels[0]).all():
            raise ValueError(
                f"{self.name} train: labels 0..{len(labels) - 1} are all {labels[0]}; "
                "allowed: two classes or more"
            )


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


def _is_array(value: Any, dtype: type[np.generic]) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == dtype


def _fault(found: Any) -> str:
    """What is wrong with images or labels, with the index where it is one of them."""
    if not isinstance(found, np.ndarray):
        return type(found).__name__
    if found.dtype == object:
        for index, each in enumerate(found):
            if np.shape(each) != np.shape(found[0]):
                return f"index {index} has the shape {np.shape(each)}, 0 has {np.shape(found[0])}"
    if np.issubdtype(found.dtype, np.floating) and np.isnan(found).any():
        return f"NaN at index {np.argwhere(np.isnan(found))[0].tolist()}"
    return f"{found.dtype}{list(found.shape)}"


def split_off(whole: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Splits `whole` at random into (what is left, a share of it), class by class.

    Both keep the order that `whole` has, and are copies in memory; see `split_indices`.
    """
    rest, part = split_indices(whole.labels, fraction, seed)
    return take(whole, rest), take(whole, part)


def split_indices(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits examples at random into (what is left, a share of them), class by class.

    Args:
      labels: of the examples, of shape (n,).
      fraction: share that goes into the second part, between 0 and 1; rounded up to an example.
      seed: from 0 to 2**32 - 1; the same seed gives the same parts.

    Returns:
      The indices of both parts, each in ascending order.

    Raises:
      ValueError: a class has one example only, or there are too few for each class to be in both
        parts.
    """
    from sklearn.model_selection import train_test_split

    _, first, counts = np.unique(labels, return_index=True, return_counts=True)
    if 1 in counts:
        index = int(first[counts == 1].min())
        label = labels[index]
        raise ValueError(f"label {index} is the only {label}; allowed: two or more of a class")
    size, fewest, most = math.ceil(fraction * len(labels)), len(counts), len(labels) - len(counts)
    if not fewest <= size <= most:
        raise ValueError(f"{size} images; allowed: {fewest}..{most}, for every class in both parts")
    rest, part = train_test_split(
        np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed
    )
    return np.sort(rest), np.sort(part)


def take(whole: Split, indices: np.ndarray) -> Split:
    """The examples of those indices, copied into memory."""
    return Split(np.asarray(whole.images[indices]), np.asarray(whole.labels[indices]))
