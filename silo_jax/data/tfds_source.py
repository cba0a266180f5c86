"""Image-classification sets of TensorFlow Datasets (TFDS): found by name, and prepared.

Only preparing a set, which downloads and re-encodes it, needs TensorFlow; `tfds_records` reads it
without.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

_NAME = re.compile(r"([A-Za-z]\w*)(?:/([\w.\-]+))?(?::((?:\d+|\*)(?:\.(?:\d+|\*)){2}))?")
_ALLOWED = "'digits' or the TFDS name of an image-classification set"
_UNLABELLED_TEST = ("imagenet2012",)


@dataclass(frozen=True)
class TfdsImages:
    """A TFDS set of images with one label each: its TFDS builder and how its records are read.

    Attributes:
      builder: the ``tfds.core.DatasetBuilder``.
      data_dir: the directory in which TFDS prepares sets.
      image_key: feature that holds the image.
      label_key: feature that holds the class.
      image_shape: height, width, channels; () where images differ in size.
      num_classes: labels are 0..num_classes - 1.
    """

    builder: Any
    data_dir: str
    image_key: str
    label_key: str
    image_shape: tuple[int, ...]
    num_classes: int

    @property
    def name(self) -> str:
        """The name with the configuration where there is one: "imagenet_resized/32x32"."""
        return str(self.builder.info.full_name).rpartition("/")[0]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by label."""
        return list(self.builder.info.features[self.label_key].names)

    @property
    def test_split(self) -> str:
        """The held-out split that has labels: ImageNet's is called "validation"."""
        if self.builder.name in _UNLABELLED_TEST:
            return "validation"
        splits = self.builder.info.splits
        return "validation" if "validation" in splits and "test" not in splits else "test"

    @property
    def version(self) -> str:
        """The version: "3.0.1"."""
        return str(self.builder.info.full_name).rpartition("/")[2]


def find_images(
    name: str, data_dir: str | os.PathLike[str] | None, *, any_size: bool = False
) -> TfdsImages:
    """The TFDS set of that name, whether it is prepared or not; reads a few small files only.

    Args:
      name: ``name[/configuration][:version]``, as TFDS understands it.
      data_dir: where TFDS keeps prepared sets; ``None`` takes the environment variable
        ``TFDS_DATA_DIR``, else ``~/tensorflow_datasets``.
      any_size: whether images may differ in size.

    Raises:
      ValueError: there is no such set, or it is not one of images with one label each, of one
        shape unless they may differ.
    """
    data_dir = os.fspath(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    data_dir = os.path.expanduser(data_dir)
    return _as_images(_open_builder(name, data_dir), name, data_dir, any_size)


def prepare(source: TfdsImages, name: str) -> TfdsImages:
    """The same set, downloaded and prepared by TFDS as array_record unless it is prepared already.

    Raises:
      ValueError: it is not prepared and TensorFlow is not installed.
      RuntimeError: TFDS cannot prepare it.
    """
    import tensorflow_datasets as tfds

    with quiet():
        if source.builder.is_prepared():
            return source
    where = f"data.name: {name!r} is not prepared in data.data_dir {source.data_dir!r}"
    if find_spec("tensorflow") is None:
        raise ValueError(
            f"{where}{_other_versions(source)}; allowed: a directory where it is prepared as"
            " array_record (--config.data.data_dir or TFDS_DATA_DIR), or install TensorFlow to"
            ' prepare it here: pip install "silo-jax[tfds-prepare]"'
        )
    try:
        builder = tfds.builder(name, data_dir=source.data_dir, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:
        raise RuntimeError(f"{where} and TFDS cannot prepare it: {first_line(error)}") from error
    return replace(source, builder=builder)


def _open_builder(name: str, data_dir: str) -> Any:
    import tensorflow_datasets as tfds

    parts = _NAME.fullmatch(name) if isinstance(name, str) else None
    if parts is None:
        raise ValueError(
            f"data.name: {name!r}; allowed: {_ALLOWED}, written name[/configuration][:version]"
        )
    try:
        with quiet():
            return tfds.builder(name, data_dir=data_dir)
    except Exception as error:
        base, configuration, _ = parts.groups()
        raise ValueError(_why_not(name, base, configuration, data_dir, error)) from error


def _why_not(
    name: str, base: str, configuration: str | None, data_dir: str, error: Exception
) -> str:
    """Why TFDS cannot open a set, with the names it has that are nearest."""
    import tensorflow_datasets as tfds

    known = {*tfds.list_builders(with_community_datasets=False), *_prepared_names(data_dir)}
    if isinstance(error, tfds.core.DatasetNotFoundError) and base not in known:
        return f"data.name: {name!r}; allowed: {_ALLOWED}{_near(base, {'digits', *known})}"
    configurations = _configurations(base)
    if configuration and configuration not in configurations:
        near = _near(configuration, configurations)
        allowed = "a configuration that it has" if configurations else f"{base!r} without one"
        return f"data.name: {name!r}: no such configuration; allowed: {allowed}{near}"
    return f"data.name: {name!r} cannot be opened by TFDS in {data_dir!r}: {first_line(error)}"


def _as_images(builder: Any, name: str, data_dir: str, any_size: bool) -> TfdsImages:
    """Finds image and label among the features, or says why the set is not usable."""
    from tensorflow_datasets import features as kinds

    features, keys = builder.info.features, builder.info.supervised_keys
    if keys is None:
        images = [key for key, kind in features.items() if isinstance(kind, kinds.Image)]
        labels = [key for key, kind in features.items() if isinstance(kind, kinds.ClassLabel)]
        keys = (*images, *labels)
    found: list[Any] = [features[key] if isinstance(key, str) else None for key in keys]
    if [type(kind) for kind in found] != [kinds.Image, kinds.ClassLabel]:
        raise ValueError(
            f"data.name: {name!r} is not a set of (image, label); allowed: {_ALLOWED}"
            f" (its supervised keys are {builder.info.supervised_keys!r})"
        )
    image, label = found
    one_shape = len(image.shape) == 3 and None not in image.shape
    if image.np_dtype != np.uint8 or not (one_shape or any_size):
        raise ValueError(
            f"data.name: {name!r} has images {np.dtype(image.np_dtype)}{list(image.shape)};"
            " allowed: a set of uint8 images of one fixed shape (height, width, channels), or of"
            " any size where data.image_size is above 0"
        )
    if not label.num_classes:
        raise ValueError(f"data.name: {name!r} does not say how many classes it has")
    return TfdsImages(
        builder=builder,
        data_dir=data_dir,
        image_key=keys[0],
        label_key=keys[1],
        image_shape=tuple(image.shape) if one_shape else (),
        num_classes=label.num_classes,
    )


def _prepared_names(data_dir: str) -> set[str]:
    found = [*Path(data_dir).glob("*/*/dataset_info.json")]
    found += Path(data_dir).glob("*/*/*/dataset_info.json")
    return {path.relative_to(data_dir).parts[0] for path in found}


def _configurations(name: str) -> list[str]:
    import tensorflow_datasets as tfds

    try:
        return list(tfds.builder_cls(name).builder_configs)
    except tfds.core.DatasetNotFoundError:
        return []


def _other_versions(source: TfdsImages) -> str:
    found = sorted(path.name for path in Path(source.data_dir, source.name).glob("*.*.*"))
    return f" at version {source.version} (only at {', '.join(found)})" if found else ""


def _near(value: str, choices: Iterable[str]) -> str:
    near = get_close_matches(value, sorted(choices), n=3)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def first_line(error: Exception) -> str:
    """What TFDS says in many lines, in one, without the arguments it repeats before it."""
    message = re.sub(r'^Failed to construct dataset .*}": ', "", str(error)).strip()
    return message.splitlines()[0].strip() if message else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps TFDS from logging what is said here in an error, or is no news."""
    from absl import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(level)
