"""Small sets of JPEG images of several sizes: imagenet2012 as TFDS writes it, and folders."""

import io

import numpy as np
from PIL import Image

from tests.tfds_sets import write_set

NUM_TRAIN, NUM_HELD_OUT = 40, 12
# Labels of imagenet2012 in the sets written here, and the names of their classes.
LABELS = {0: "n01440764", 1: "n01443537", 7: "n01514668", 999: "n15075141"}


def picture(index, width, height):
    """A smooth picture, which survives JPEG, unlike any other of a set."""
    rows, columns = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [np.sin(rows * (3 + index % 5) + c) * np.cos(columns * (2 + index) + c) for c in (0, 1)]
    channels = [*waves, rows - columns]
    return np.uint8(np.rint(127.5 + 127.5 * np.stack(channels, -1)))


def jpeg(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def jpegs(count, first=0):
    """Encoded pictures from 20 to 60 pixels wide and high."""
    sizes = np.random.default_rng(first).integers(20, 61, (count, 2))
    return [jpeg(picture(first + index, *size)) for index, size in enumerate(sizes.tolist())]


def write_imagenet(data_dir, version="5.1.0", with_test=True):
    """Writes imagenet2012 with a few images; returns its directory and, by split, what it holds.

    The split "test" has no labels: they are all -1, as TFDS prepares it.
    """
    import tensorflow_datasets as tfds

    features = dict(tfds.builder("imagenet2012", data_dir=data_dir).info.features)
    labels = np.resize(list(LABELS), NUM_TRAIN)
    splits = {
        "train": (jpegs(NUM_TRAIN), labels),
        "validation": (jpegs(NUM_HELD_OUT, 100), labels[:NUM_HELD_OUT]),
    }
    if with_test:
        splits["test"] = (jpegs(4, 200), np.full(4, -1))
    return write_set(data_dir, "imagenet2012", version, splits=splits, features=features)


def write_folder(root, train=(6, 5, 7), held_out=(2, 2, 2), held_out_name="test"):
    """Writes classes "ant", "bee" and "cat"; returns the images of a split by class."""
    content = {}
    for split, counts in (("train", train), (held_out_name, held_out)):
        files = jpegs(sum(counts), first=10 * len(split))
        for name, count in zip(("ant", "bee", "cat"), counts, strict=True):
            directory = root / split / name
            directory.mkdir(parents=True)
            content[split, name] = [files.pop() for _ in range(count)]
            for index, file in enumerate(content[split, name]):
                (directory / f"{index}.jpeg").write_bytes(file)
    return content
