"""What a network needs to be used again without the data set that it was trained on."""

import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from silo_jax.files import write_json
from silo_jax.pruning.masks import named_leaves
from silo_jax.training.experiment import Experiment
from silo_jax.training.state import init_network

FILE_NAME = "network.json"


class NetworkFacts(NamedTuple):
    """What ``network.json`` in a run's directory holds.

    Attributes:
      num_classes: size of the output.
      image_shape: (height, width, channels).
      mean: per channel, of images scaled to [0, 1], by which they are normalised.
      std: per channel.
      shapes: of the weights by their paths.
    """

    num_classes: int
    image_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shapes: dict[str, tuple[int, ...]]


def facts_of(experiment: Experiment) -> NetworkFacts:
    """The facts of an experiment's network; nothing is computed."""
    model, image_shape = experiment.recipe.model, experiment.image_shape
    init = partial(init_network, model, image_shape)
    params, _ = jax.eval_shape(init, jax.random.PRNGKey(0))
    return NetworkFacts(
        num_classes=model.num_classes,
        image_shape=tuple(image_shape),
        mean=experiment.recipe.mean,
        std=experiment.recipe.std,
        shapes={path: leaf.shape for path, leaf in named_leaves(params)},
    )


def write_facts(workdir: Path, experiment: Experiment) -> None:
    """Writes ``network.json``."""
    write_json(workdir / FILE_NAME, facts_of(experiment)._asdict())


def read_facts(workdir: Path) -> NetworkFacts | None:
    """The facts that a run has written; None where it is older than they are.

    Raises:
      ValueError: one line; the file cannot be read.
    """
    path = workdir / FILE_NAME
    if not path.exists():
        return None
    try:
        fields = json.loads(path.read_text())
        return NetworkFacts(
            num_classes=int(fields["num_classes"]),
            image_shape=tuple(fields["image_shape"]),
            mean=tuple(fields["mean"]),
            std=tuple(fields["std"]),
            shapes={name: tuple(shape) for name, shape in fields["shapes"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{path}: is damaged; allowed: as the run has written it") from None
