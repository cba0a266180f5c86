"""All images of a data set joined and split again, in place of the splits that it comes with."""

from dataclasses import replace

import numpy as np

from silo_jax.checks import require
from silo_jax.data.splits import ImageData, Split


def split_again(
    data: ImageData, *, test_fraction: float, validation_fraction: float, seed: int
) -> ImageData:
    """Joins all splits of a data set and draws new ones from all images alike, as the authors do.

    The set's own test images are spread over the new splits: accuracies are not comparable with
    those on the test split that everyone else uses.

    Args:
      data: a data set; its images are copied.
      test_fraction: share of all images that becomes the test split, in (0, 1).
      validation_fraction: share of the others that becomes the validation split, in (0, 1).
      seed: from 0 to 2**32 - 1; the same seed gives the same splits.

    Returns:
      The data set with ``round(test_fraction · n)`` of its n images as the test split, and that
      share of what is left, rounded, as the validation split. The order of all is random.

    Raises:
      ValueError: a fraction is out of its range, or a split would be empty.

    Example:
      >>> from silo_jax.data import load_data
      >>> digits = load_data("digits")
      >>> again = split_again(digits, test_fraction=0.2, validation_fraction=0.25, seed=0)
      >>> len(again.train), len(again.validation), len(again.test)
      (1078, 360, 359)
    """
    for name, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        allowed = "between 0 and 1, neither included"
        require(f"data.{name}_fraction", fraction, lambda f: (f > 0) & (f < 1), allowed)
    splits = (data.train, data.validation, data.test)
    images = np.concatenate([split.images for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    num_test = round(test_fraction * len(labels))
    num_validation = round(validation_fraction * (len(labels) - num_test))
    order = np.random.default_rng(seed).permutation(len(labels))
    test, validation, train = np.split(order, [num_test, num_test + num_validation])
    return replace(
        data,
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        test=Split(images[test], labels[test]),
    )
