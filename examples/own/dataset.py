"""A data set of your own: two arrays of images and two of labels.

    python -m experiments.run --config=examples/own/dataset.py --workdir=runs/own_dataset

`data.name` is where to import the function from. Validation images are taken from train.
"""

import numpy as np

from silo_jax.base_config import base_config
from silo_jax.data import Split


def load(data_dir: str | None) -> tuple[Split, Split]:
    """Bars that lie or stand, in noise: class 0 and 1."""
    return bars(600, seed=0), bars(200, seed=1)


def bars(number: int, seed: int) -> Split:
    random = np.random.default_rng(seed)
    images = random.integers(0, 160, (number, 12, 12, 1)).astype(np.uint8)
    labels = random.integers(0, 2, number).astype(np.int32)
    for image, label in zip(images, labels, strict=True):
        place = random.integers(12)
        (image if label == 0 else image.transpose(1, 0, 2))[place] = 255
    return Split(images, labels)


def get_config():
    config = base_config()
    config.data.name = "examples.own.dataset:load"
    config.model.name = "lenet5"
    config.pruning.num_cycles = 4
    config.schedule.lower = 0.02
    config.schedule.upper = 0.05
    return config
