"""Data sets by name: the digits that come with scikit-learn, and those of TensorFlow Datasets."""

import os

import numpy as np

from silo_jax.checks import require, require_int
from silo_jax.data.splits import ImageData, Split, split_off
from silo_jax.data.tfds_source import find_images, load_split, prepare

_DIGITS_TEST_FRACTION = 0.2
_DIGITS_TEST_SEED = 0
_DIGITS_VERSION = "1.0.0"
_MAX_SEED = 2**32 - 1


def load_data(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    progress: bool = True,
) -> ImageData:
    """A data set by its name, as NumPy arrays.

    - "digits" are the 1 797 images of handwritten digits, 8x8 pixels with values 0..16, that come
      with scikit-learn; scaled to 0..255. They have no test split of their own: a stratified fifth,
      always the same one whatever ``split_seed`` is, is the test split here.
    - Any other name is that of a set of TensorFlow Datasets with one image of a fixed shape and one
      label an example, such as "fashion_mnist", "cifar10" or "cifar10:3.0.2". It is read without
      TensorFlow from where it is prepared; preparing it needs TensorFlow. Decoded images are kept
      on disk and memory-mapped the next time.

    Args:
      name: "digits", or a name as TFDS understands it: ``name[/configuration][:version]``.
      data_dir: where TFDS keeps prepared sets; ``None`` takes ``$TFDS_DATA_DIR``, else
        ``~/tensorflow_datasets``. Only read from if the set is prepared there.
      cache_dir: where decoded images are kept, in ``<name>/<version>/<split>/``; ``None`` takes
        ``$SILO_JAX_CACHE``, else ``silo-jax`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``.
      validation_fraction: share of the train split that becomes the validation split, class by
        class, between 0 and 1.
      split_seed: seed of that choice, from 0 to 2**32 - 1.
      progress: whether decoding is shown on stderr.

    Returns:
      Train and validation split as copies in memory; the test split, if of TFDS, as a memory map.

    Raises:
      ValueError: an argument is not allowed (see `check_data_name`), the set is not prepared and
        TensorFlow is missing, or the cache holds something else.
      RuntimeError: TFDS cannot prepare or read the set.

    Example:
      >>> from silo_jax.data import load_data
      >>> data = load_data("digits")
      >>> data.train.images.shape, data.validation.images.shape, data.test.images.shape
      ((1293, 8, 8, 1), (144, 8, 8, 1), (360, 8, 8, 1))
    """
    require(
        "data.validation_fraction",
        validation_fraction,
        lambda fraction: (fraction > 0) & (fraction < 1),
        "between 0 and 1, neither included",
    )
    require_int("data.split_seed", split_seed, minimum=0)
    require("data.split_seed", split_seed, lambda seed: seed <= _MAX_SEED, f"up to {_MAX_SEED}")
    if name == "digits":
        version, num_classes = _DIGITS_VERSION, 10
        whole, test = _digits()
    else:
        source = prepare(find_images(name, data_dir), name)
        name, version, num_classes = source.name, source.version, source.num_classes
        test = load_split(source, "test", cache_dir=cache_dir, progress=progress)
        whole = load_split(source, "train", cache_dir=cache_dir, progress=progress)
    try:
        train, validation = split_off(whole, validation_fraction, split_seed)
    except ValueError as error:
        raise ValueError(
            f"data.validation_fraction: {validation_fraction:g} of the {len(whole)} training"
            f" images of {name}: {error}"
        ) from error
    return ImageData(name, version, num_classes, train, validation, test)


def check_data_name(name: str, data_dir: str | os.PathLike[str] | None = None) -> None:
    """Refuses what is not the name of a data set that can be used here, before any heavy work.

    Whether a set of TFDS is prepared is not asked: TFDS may prepare it when it is loaded.

    Args:
      name: the value of ``data.name``.
      data_dir: see `load_data`.

    Raises:
      ValueError: there is no such set, with the nearest names; or it is not one of images of one
        fixed shape with one label each.

    Example:
      >>> from silo_jax.data import check_data_name
      >>> check_data_name("digits")
    """
    if name != "digits":
        find_images(name, data_dir)


def _digits() -> tuple[Split, Split]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images[..., None] * (255 / 16)).astype(np.uint8)
    whole = Split(images, digits.target.astype(np.int32))
    return split_off(whole, _DIGITS_TEST_FRACTION, _DIGITS_TEST_SEED)
