"""The numbers that a run's figures draw."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import over_seeds
from silo_jax.reporting.lines import Line, Numbers, mean_line
from silo_jax.reporting.results import RunResults

SPLITS = {"training": "train", "validation": "val"}
QUANTITIES = ("loss", "accuracy")


class LayerDensities(NamedTuple):
    """Mean density of the layers.

    Attributes:
        layers: Names.
        density: Shape (layers, cycles), NaN where there is none.
    """

    layers: list[str]
    density: NDArray[np.float64]


def accuracy_lines(run: RunResults) -> list[Line]:
    """Test and validation accuracy by density, with bands over the seeds."""
    cycle = run.cycles["cycle"]
    density = over_seeds(cycle, run.cycles["density"]).mean
    return [
        mean_line(name, density, over_seeds(cycle, run.cycles[column]), cycle=np.unique(cycle))
        for name, column in (("test", "test_accuracy"), ("validation", "val_accuracy"))
    ]


def max_lr_lines(run: RunResults) -> list[Line]:
    """max_lr by cycle with a band over the seeds, and sparsity in per cent."""
    cycle = run.cycles["cycle"]
    max_lr = over_seeds(cycle, run.cycles["max_lr"])
    sparsity = over_seeds(cycle, 100 * (1 - run.cycles["density"]))
    return [
        mean_line("max_lr", max_lr.keys, max_lr),
        Line("sparsity, %", sparsity.keys, sparsity.mean, told={"seeds": sparsity.seeds}),
    ]


def lr_line(run: RunResults) -> Line:
    """The learning rate by step."""
    return Line("learning rate", run.schedule["step"], run.schedule["lr"])


def training_lines(run: RunResults, quantity: str, split: str) -> list[Line]:
    """A quantity over the epochs, counted over all cycles: a line a cycle.

    Args:
        run: Results to look at.
        quantity: One of `QUANTITIES`.
        split: One of `SPLITS`.
    """
    keys = np.column_stack([run.metrics["cycle"], run.metrics["epoch"]])
    stats = over_seeds(keys, run.metrics[f"{SPLITS[split]}_{quantity}"])
    cycles, epochs = stats.keys.T
    lines = []
    for cycle in np.unique(cycles):
        own = cycles == cycle
        of_cycle = stats._replace(**{name: part[own] for name, part in stats._asdict().items()})
        told = {"quantity": quantity, "cycle": cycle, "epoch_of_cycle": epochs[own]}
        x = epoch_edges(run)[cycle] + epochs[own]
        lines.append(mean_line(split, x, of_cycle, **told))
    return lines


def joined(lines: Sequence[Line]) -> Line:
    """One line of those of all cycles, its pen lifted between cycles of several epochs."""
    lifts = any(len(line.x) > 1 for line in lines)

    def join(parts: Sequence[Any], gap: float = np.nan) -> NDArray[np.float64]:
        pieces: list[NDArray[np.float64]] = []
        for part in parts:
            pieces += [np.array([gap])] if lifts and pieces else []
            pieces.append(np.asarray(part, float))
        return np.concatenate(pieces)

    x = join([line.x for line in lines], gap=0.0)
    y, low, high = (join([getattr(line, end) for line in lines]) for end in ("y", "low", "high"))
    return Line(lines[0].name, x, y, low, high)


def layer_densities(run: RunResults) -> LayerDensities:
    """Finds the mean density of each layer in each cycle."""
    names = list(dict.fromkeys(run.layers["layer"].tolist()))
    row = [names.index(name) for name in run.layers["layer"]]
    stats = over_seeds(np.column_stack([row, run.layers["cycle"]]), run.layers["density"])
    density = np.full((len(names), run.layers["cycle"].max() + 1), np.nan)
    density[tuple(stats.keys.T)] = stats.mean
    return LayerDensities(names, density)


def layer_numbers(run: RunResults) -> Numbers:
    """Lists the sparsity of each layer in each cycle."""
    found = layer_densities(run)
    rows = [
        {
            "layer": layer,
            "cycle": cycle,
            "density": density,
            "sparsity_percent": 100 - 100 * density,
        }
        for layer, of_layer in zip(found.layers, found.density.tolist(), strict=True)
        for cycle, density in enumerate(of_layer)
    ]
    return Numbers(list(rows[0]), rows)


def epoch_edges(run: RunResults) -> NDArray[np.int64]:
    """Finds zero and the end of each cycle, in epochs counted over all cycles."""
    cycle = run.metrics["cycle"]
    epochs = np.zeros(cycle.max() + 1, int)
    np.maximum.at(epochs, cycle, run.metrics["epoch"])
    return np.concatenate([[0], np.cumsum(epochs)])


def step_edges(run: RunResults) -> NDArray[np.int64]:
    """Finds zero and the end of each planned cycle, in steps; nothing where that is not known yet.

    All cycles have as many steps as the first.
    """
    first = run.metrics["cycle"] == 0
    steps = int(run.metrics["step"][first].max())
    if not run.has_cycles:
        epochs = int(run.metrics["epoch"][first].max())
        training = run.config.get("training", {})
        asked = training.get("epochs_per_cycle") or 0
        steps = training.get("steps_per_cycle") or steps // epochs * asked
    return np.arange(run.num_cycles + 1) * steps if steps else np.array([], int)
