"""Data sets by name: the digits, those of TensorFlow Datasets, a folder, and the user's own."""

import os

import numpy as np

from silo_jax.checks import require, require_int, shown
from silo_jax.data.classes import Classes, chosen_labels, renumbered
from silo_jax.data.encoded import EncodedData
from silo_jax.data.folder import find_folder, folder_split
from silo_jax.data.splits import ImageData, Split, split_indices, split_off, take
from silo_jax.data.tfds_records import encoded_split, load_split
from silo_jax.data.tfds_source import find_images, prepare
from silo_jax.imported import imported, is_imported

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
    classes: Classes = (),
    progress: bool = True,
) -> ImageData:
    """A data set by its name, as NumPy arrays.

    - "digits" are the 1 797 images of handwritten digits, 8x8 pixels with values 0..16, that come
      with scikit-learn; scaled to 0..255. They have no test split of their own: a stratified fifth,
      always the same one whatever ``split_seed`` is, is the test split here.
    - ``module:name`` is a function of one's own, which is imported. It takes ``data_dir`` and
      returns the `Split` of train and that of test.
    - Any other name is that of a set of TensorFlow Datasets with one image of a fixed shape and one
      label an example, such as "fashion_mnist", "cifar10" or "cifar10:3.0.2". It is read without
      TensorFlow from where it is prepared; preparing it needs TensorFlow. Decoded images are kept
      on disk and memory-mapped the next time.

    Where a set of TFDS has no split "test", its split "validation" is the test split here; the
    validation split is always taken from train.

    Args:
      name: "digits", or a name as TFDS understands it: ``name[/configuration][:version]``.
      data_dir: where TFDS keeps prepared sets; ``None`` takes ``$TFDS_DATA_DIR``, else
        ``~/tensorflow_datasets``. Only read from if the set is prepared there.
      cache_dir: where decoded images are kept, in ``<name>/<version>/<split>/``; ``None`` takes
        ``$SILO_JAX_CACHE``, else ``silo-jax`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``.
      validation_fraction: share of the train split that becomes the validation split, class by
        class, between 0 and 1.
      split_seed: seed of that choice, from 0 to 2**32 - 1.
      classes: see `silo_jax.data.classes.chosen_labels`; () for all.
      progress: whether decoding is shown on stderr.

    Returns:
      Train and validation split as copies in memory; the test split, if of TFDS and of all classes,
      as a memory map.

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
    _check_split_arguments(validation_fraction, split_seed)
    if name == "digits":
        version, chosen = _DIGITS_VERSION, chosen_labels(classes, [*map(str, range(10))])
        whole, test = _digits()
    elif is_imported(name):
        whole, test = _own(name, data_dir)
        num_classes = 1 + int(max(whole.labels.max(), test.labels.max()))
        version, chosen = "", chosen_labels(classes, [*map(str, range(num_classes))])
    else:
        source = prepare(find_images(name, data_dir), name)
        name, version, chosen = source.name, source.version, chosen_labels(classes, source.classes)
        test = load_split(source, source.test_split, cache_dir=cache_dir, progress=progress)
        whole = load_split(source, "train", cache_dir=cache_dir, progress=progress)
    if classes:
        whole, test = (_of_classes(split, chosen) for split in (whole, test))
    rest, part = _split_indices(name, whole.labels, validation_fraction, split_seed)
    return ImageData(name, version, len(chosen), take(whole, rest), take(whole, part), test)


def open_data(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    classes: Classes = (),
    progress: bool = True,
) -> EncodedData:
    """A data set by its name whose images, of any size, stay encoded on disk, to be streamed.

    - "folder" is the one in ``data_dir``, with ``train/<class>/`` and ``test/<class>/`` or
      ``val/<class>/``; its classes are in alphabetical order.
    - Any other name is that of a set of TFDS with one image and one label an example, prepared as
      array_record. The test split is "test", or "validation" where there is none or, as with
      imagenet2012, "test" has no labels. The first time, all labels are read and cached.

    Args are those of `load_data`.

    Raises:
      ValueError: an argument is not allowed, or a set or folder is not as it has to be.
      RuntimeError: TFDS cannot prepare or read the set.
    """
    _check_split_arguments(validation_fraction, split_seed)
    if name == "folder":
        train_dir, test_dir, names = find_folder(data_dir)
        version = ""
        whole, test = folder_split(train_dir, names), folder_split(test_dir, names)
    else:
        source = prepare(find_images(name, data_dir, any_size=True), name)
        name, version, names = source.name, source.version, source.classes
        test = encoded_split(source, source.test_split, cache_dir=cache_dir, progress=progress)
        whole = encoded_split(source, "train", cache_dir=cache_dir, progress=progress)
    chosen = chosen_labels(classes, names)
    whole, test = (split.take(*renumbered(split.labels, chosen)) for split in (whole, test))
    rest, part = _split_indices(name, whole.labels, validation_fraction, split_seed)
    return EncodedData(
        name=name,
        version=version,
        classes=[names[label] for label in chosen],
        train=whole.take(rest),
        validation=whole.take(part),
        test=test,
    )


def check_data_name(
    name: str, data_dir: str | os.PathLike[str] | None = None, *, streamed: bool = False
) -> None:
    """Refuses what is not the name of a data set that can be used here, before any heavy work.

    Whether a set of TFDS is prepared is not asked: TFDS may prepare it when it is loaded.

    Args:
      name: the value of ``data.name``.
      data_dir: see `load_data`.
      streamed: whether it is for `open_data`, not for `load_data`.

    Raises:
      ValueError: there is no such set, with the nearest names; or it is not one of images with one
        label each, of one fixed shape unless it is streamed.

    Example:
      >>> from silo_jax.data import check_data_name
      >>> check_data_name("digits")
    """
    match name, streamed:
        case "digits", True:
            raise ValueError("data.name: 'digits' cannot be streamed; allowed: data.image_size=0")
        case "folder", False:
            raise ValueError("data.name: 'folder' is streamed; allowed: data.image_size above 0")
        case "digits", False:
            pass
        case _ if is_imported(name):
            imported("data.name", name)
            if streamed:
                raise ValueError(f"data.name: {name!r} is in memory; allowed: data.image_size=0")
        case "folder", True:
            find_folder(data_dir)
        case _:
            find_images(name, data_dir, any_size=streamed)


def _check_split_arguments(validation_fraction: float, split_seed: int) -> None:
    require(
        "data.validation_fraction",
        validation_fraction,
        lambda fraction: (fraction > 0) & (fraction < 1),
        "between 0 and 1, neither included",
    )
    require_int("data.split_seed", split_seed, minimum=0)
    require("data.split_seed", split_seed, lambda seed: seed <= _MAX_SEED, f"up to {_MAX_SEED}")


def _split_indices(
    name: str, labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    try:
        return split_indices(labels, fraction, seed)
    except ValueError as error:
        raise ValueError(
            f"data.validation_fraction: {fraction:g} of the {len(labels)} training"
            f" images of {name}: {error}"
        ) from error


def _of_classes(split: Split, chosen: np.ndarray) -> Split:
    kept, labels = renumbered(split.labels, chosen)
    return Split(np.asarray(split.images[kept]), labels)


def _digits() -> tuple[Split, Split]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images[..., None] * (255 / 16)).astype(np.uint8)
    whole = Split(images, digits.target.astype(np.int32))
    return split_off(whole, _DIGITS_TEST_FRACTION, _DIGITS_TEST_SEED)


def _own(name: str, data_dir: str | os.PathLike[str] | None) -> tuple[Split, Split]:
    splits = imported("data.name", name)(data_dir)
    match splits:
        case (Split() as train, Split() as test) if len(train) and len(test):
            return train, test
    raise ValueError(
        f"data.name: {name!r} has returned {shown(splits)}; allowed: (train, test), each a"
        " silo_jax.data.Split that is not empty"
    )
