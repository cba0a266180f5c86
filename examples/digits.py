"""The digits that come with scikit-learn: 1 797 images of 8x8 pixels, in ten classes."""

from collections.abc import Iterator

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Split = tuple[np.ndarray, np.ndarray]


def load() -> tuple[Split, Split]:
    """Train and test split: images of shape (n, 64) with values in [0, 1], and labels (n,)."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    images, test_images, labels, test_labels = train_test_split(
        images, labels.astype(np.int32), test_size=0.2, stratify=labels, random_state=0
    )
    return (images, labels), (test_images, test_labels)


def batches(split: Split, num_batches: int, seed: int, batch_size: int = 64) -> Iterator[Split]:
    """Batches drawn at random, each without repetition."""
    images, labels = split
    random = np.random.default_rng(seed)
    for _ in range(num_batches):
        drawn = random.choice(len(images), batch_size, replace=False)
        yield images[drawn], labels[drawn]
