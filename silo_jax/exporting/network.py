"""A trained network, taken out of the directory of a run."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from silo_jax.data import normalize
from silo_jax.models import create_model
from silo_jax.pruning import sparsity
from silo_jax.pruning.masks import named_leaves
from silo_jax.reporting.reading import read_config, read_csv
from silo_jax.saved_states import read_state, state_path
from silo_jax.training.config import check_config
from silo_jax.training.experiment import load_experiment
from silo_jax.training.facts import NetworkFacts, facts_of, read_facts

PyTree = Any


class TrainedNetwork(NamedTuple):
    """A network as it was at the end of a cycle, before that cycle's prune.

    Attributes:
      model: linen module, called as ``model.apply(variables, images, train=False)`` on normalised
        images.
      variables: ``params`` and, with BatchNorm, ``batch_stats``; pruned weights are 0.
      masks: of the cycle, bool tree of the structure of ``params``.
      config: of the run.
      seed: of the network.
      cycle: from 0, the dense one.
      image_shape: (height, width, channels).
      mean: per channel, of images scaled to [0, 1].
      std: per channel.
    """

    model: nn.Module
    variables: dict[str, PyTree]
    masks: PyTree
    config: ConfigDict
    seed: int
    cycle: int
    image_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def logits(self, images: ArrayLike) -> jax.Array:
        """The logits in evaluation mode, without augmentation.

        Args:
          images: raw intensities from 0 to 255, of shape (b, height, width, channels).

        Returns:
          float32 (b, num_classes).
        """
        return logits(self.model, self.mean, self.std, self.variables, images)

    @property
    def density(self) -> float:
        """The share of the prunable weights that is left."""
        return 1 - float(sparsity(self.masks))


def logits(
    model: nn.Module,
    mean: Sequence[float],
    std: Sequence[float],
    variables: dict[str, PyTree],
    images: ArrayLike,
) -> jax.Array:
    """The logits of raw images in evaluation mode; see `TrainedNetwork`."""
    return _logits(model, tuple(mean), tuple(std), variables, jnp.asarray(images))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _logits(
    model: nn.Module,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    variables: dict[str, PyTree],
    images: jax.Array,
) -> jax.Array:
    return jnp.asarray(model.apply(variables, normalize(images, mean, std), train=False))


def load_network(
    directory: Path, *, cycle: int | None = None, seed: int | None = None
) -> TrainedNetwork:
    """See `silo_jax.load`."""
    require_run(directory)
    config = ConfigDict(read_config(directory / "config.json"))
    seed = config.seeds[0] if seed is None else seed
    if seed not in config.seeds:
        raise ValueError(f"seed: {seed}; allowed: {', '.join(map(str, config.seeds))}")
    steps = _steps_of_cycles(directory, seed)
    if cycle is None:
        there = [each for each in steps if state_path(directory, seed, steps[each]).is_dir()]
        cycle = max(there, default=max(steps))
    if cycle not in steps:
        raise ValueError(
            f"cycle: {cycle}; allowed: 0 to {max(steps)}, which seed {seed} has finished"
        )
    facts = read_facts(directory) or _facts_from_data(config)
    path = state_path(directory, seed, steps[cycle])
    state = jax.tree.map(jnp.asarray, read_state(path, ("params", "batch_stats", "masks")))
    shapes = {name: leaf.shape for name, leaf in named_leaves(state["params"])}
    if shapes != facts.shapes:
        raise ValueError(f"checkpoint {path}: its weights are not those of {config.model.name}")
    statistics = {"batch_stats": state["batch_stats"]} if state["batch_stats"] else {}
    return TrainedNetwork(
        model=create_model(num_classes=facts.num_classes, **config.model),
        variables={"params": state["params"], **statistics},
        masks=state["masks"],
        config=config,
        seed=seed,
        cycle=cycle,
        image_shape=facts.image_shape,
        mean=facts.mean,
        std=facts.std,
    )


def require_run(directory: Path) -> None:
    """Raises ValueError unless the directory is that of a run."""
    if (directory / "study.json").exists():
        raise ValueError(f"directory: {directory} holds a study; allowed: the directory of a run")
    if not (directory / "config.json").exists():
        raise ValueError(f"directory: {directory}; allowed: the directory of a run")


def _steps_of_cycles(directory: Path, seed: int) -> dict[int, int]:
    """The step at the end of each cycle that a seed has finished."""
    kinds = dict.fromkeys(("cycle", "seed", "step"), int)
    table = read_csv(directory / "cycles.csv", kinds, key=("cycle", "seed"))
    own = table["seed"] == seed
    if not np.any(own):
        raise ValueError(f"seed: {seed} has finished no cycle; allowed: one that has")
    return dict(zip(table["cycle"][own].tolist(), table["step"][own].tolist(), strict=True))


def _facts_from_data(config: ConfigDict) -> NetworkFacts:
    """The facts of a run that has not written them, for which its data set is read."""
    config = config.copy_and_resolve_references()
    config.devices.data, config.devices.model = 1, 1
    check_config(config)
    return facts_of(load_experiment(config))
