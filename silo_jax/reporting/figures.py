"""The figures of a run: each function takes the results and returns a matplotlib figure."""

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import OverSeeds, over_seeds
from silo_jax.reporting.results import RunResults
from silo_jax.reporting.style import BLUE, FAINT, GREEN, GREY, VERMILION, density_axis, spaced

_TEST, _VALIDATION, _TRAIN, _LR = BLUE, VERMILION, GREEN, BLUE
_LEVELS = np.array([1, 0.8, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0001])


def accuracy_by_density(run: RunResults) -> Figure:
    """Draws test and validation accuracy against density, densest on the left."""
    figure = Figure()
    axes = figure.add_subplot()
    cycle = run.cycles["cycle"]
    density = over_seeds(cycle, run.cycles["density"]).mean
    test = over_seeds(cycle, run.cycles["test_accuracy"])
    validation = over_seeds(cycle, run.cycles["val_accuracy"])
    _line(axes, density, test, _TEST, "test", marker="o", zorder=3)
    _line(axes, density, validation, _VALIDATION, "validation", marker="s", linestyle="--")
    axes.axhline(test.mean[0], color=GREY, linewidth=1, linestyle=":", label="test, dense network")
    density_axis(axes, density)
    axes.set_ylabel("accuracy, %")
    axes.legend()
    return figure


def max_lr_by_cycle(run: RunResults) -> Figure:
    """Draws max_lr over the cycles, and sparsity on a light second axis."""
    figure = Figure()
    axes = figure.add_subplot()
    cycle = run.cycles["cycle"]
    max_lr = over_seeds(cycle, run.cycles["max_lr"])
    sparsity = over_seeds(cycle, 100 * (1 - run.cycles["density"]))
    behind = axes.twinx()
    behind.plot(sparsity.keys, sparsity.mean, color=GREY, linewidth=1.2, linestyle="--")
    behind.set(ylim=(0, 105), ylabel="sparsity, % (dashed)")
    behind.yaxis.label.set_color(GREY)
    behind.tick_params(colors=GREY, labelcolor=GREY, length=0)
    behind.grid(visible=False)
    _line(axes, max_lr.keys, max_lr, _LR, "max_lr", marker="o")
    axes.set_xlim(-0.5, max_lr.keys[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
    axes.set(xlabel="cycle", ylabel="max_lr")
    axes.yaxis.label.set_color(_LR)
    axes.set_ylim(bottom=0, top=1.08 * _largest(max_lr.mean))
    return figure


def lr_by_step(run: RunResults) -> Figure:
    """Draws the learning rate over all steps, with the ends of the cycles."""
    figure = Figure()
    axes = figure.add_subplot()
    step, lr = run.schedule["step"], run.schedule["lr"]
    axes.plot(step, lr, color=_LR, linewidth=1.3)
    axes.set(xlabel="step", ylabel="learning rate")
    axes.set_xlim(step[0], max(step[-1], step[0] + 1))
    axes.set_ylim(bottom=0, top=1.08 * _largest(lr))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    _mark_cycles(axes, _step_edges(run))
    return figure


def training_curves(run: RunResults) -> Figure:
    """Draws loss and accuracy over the epochs of all cycles."""
    figure = Figure(figsize=(8, 6.5))
    upper, lower = figure.subplots(2, 1, sharex=True)
    edges = _epoch_edges(run)
    for axes, quantity in ((upper, "loss"), (lower, "accuracy")):
        _epoch_line(axes, run, f"train_{quantity}", _TRAIN, "training", "-")
        _epoch_line(axes, run, f"val_{quantity}", _VALIDATION, "validation", "--")
    _loss_scale(upper)
    upper.set_ylabel("loss")
    lower.set(xlabel="epoch, counted over all cycles", ylabel="accuracy, %")
    lower.set_ylim(top=min(lower.get_ylim()[1], 101))
    lower.set_xlim(0, edges[-1] + 0.5)
    lower.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    _mark_cycles(upper, edges)
    _mark_cycles(lower, edges, numbered=False)
    figure.legend(*lower.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def sparsity_by_layer(run: RunResults) -> Figure:
    """Draws a heat map of sparsity, a row a layer and a column a cycle."""
    layers, density = _density_by_layer(run)
    least = min(0.5, np.min(density[density > 0], initial=1.0))
    shade = np.log10(np.maximum(density, least))

    figure = Figure(figsize=(8, max(3.0, 1.4 + 0.3 * len(layers))))
    axes = figure.add_subplot()
    axes.grid(visible=False)
    edges = [np.arange(count + 1) - 0.5 for count in reversed(density.shape)]
    blues = {"cmap": "Blues_r", "vmin": np.log10(least), "vmax": 0}
    image = axes.pcolormesh(*edges, shade, edgecolors="white", linewidth=0.5, **blues)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("cycle")
    axes.xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
    axes.set_yticks(range(len(layers)), [_short(layer) for layer in layers])
    _write_cells(axes, density, shade / np.log10(least))

    ticks = spaced(_LEVELS[_LEVELS / least > 0.999], 0.08)
    slim = 6 * figure.get_figheight()
    bar = figure.colorbar(image, ax=axes, label="sparsity, %", pad=0.02, aspect=slim)
    bar.set_ticks(np.log10(ticks).tolist(), labels=[f"{100 * (1 - tick):.4g}" for tick in ticks])
    bar.outline.set_visible(False)
    bar.ax.invert_yaxis()
    return figure


def _density_by_layer(run: RunResults) -> tuple[list[str], NDArray[np.float64]]:
    """Finds the layers' names and their mean density, shape (layers, cycles)."""
    names = list(dict.fromkeys(run.layers["layer"]))
    row = [names.index(name) for name in run.layers["layer"]]
    stats = over_seeds(np.column_stack([row, run.layers["cycle"]]), run.layers["density"])
    density = np.full((len(names), run.layers["cycle"].max() + 1), np.nan)
    density[tuple(stats.keys.T)] = stats.mean
    return names, density


def _epoch_edges(run: RunResults) -> NDArray[np.int64]:
    """Finds zero and the end of each cycle, in epochs counted over all cycles."""
    cycle = run.metrics["cycle"]
    epochs = np.zeros(cycle.max() + 1, int)
    np.maximum.at(epochs, cycle, run.metrics["epoch"])
    return np.concatenate([[0], np.cumsum(epochs)])


def _step_edges(run: RunResults) -> NDArray[np.int64]:
    """Finds zero and the end of each planned cycle, in steps: all have as many as the first."""
    steps_per_cycle = int(run.metrics["step"][run.metrics["cycle"] == 0].max())
    return np.arange(run.num_cycles + 1) * steps_per_cycle


def _line(
    axes: Axes, x: NDArray[Any], stats: OverSeeds, color: str, label: str, **style: Any
) -> None:
    axes.plot(x, stats.mean, color=color, label=label, markersize=5, **style)
    low, high = stats.mean - stats.std, stats.mean + stats.std
    axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


def _epoch_line(
    axes: Axes, run: RunResults, name: str, color: str, label: str, linestyle: str
) -> None:
    """Draws a quantity over the epochs, lifting the pen between cycles of several epochs."""
    keys = np.column_stack([run.metrics["cycle"], run.metrics["epoch"]])
    stats = over_seeds(keys, run.metrics[name])
    cycle, epoch = stats.keys.T
    starts = np.flatnonzero((np.diff(cycle) > 0) & (epoch.max() > 1)) + 1
    x = np.insert(_epoch_edges(run)[cycle] + epoch, starts, 0)
    lifted = stats._replace(
        mean=np.insert(stats.mean, starts, np.nan), std=np.insert(stats.std, starts, np.nan)
    )
    marker = "." if len(epoch) <= 60 else ""
    _line(axes, x, lifted, color, label, marker=marker, linestyle=linestyle, linewidth=1.2)


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.max(values[np.isfinite(values)], initial=0.0)) or 1.0


def _loss_scale(axes: Axes) -> None:
    """Takes a log scale where the loss falls by more than a factor of thirty."""
    means = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
    positive = means[means > 0]
    if positive.size and positive.max() > 30 * positive.min():
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(positive.min() / 1.5, positive.max() * 1.5)
    else:
        axes.set_ylim(bottom=0)


def _mark_cycles(axes: Axes, edges: NDArray[np.int64], numbered: bool = True) -> None:
    axes.grid(visible=False, axis="x")
    for edge in edges[1:-1]:
        axes.axvline(edge, color=FAINT, linewidth=0.8, zorder=0.5)
    if numbered:
        stride = -(-(len(edges) - 1) // 13)
        middles = [(start + end) / 2 for start, end in itertools.pairwise(edges)]
        top = axes.secondary_xaxis("top")
        top.set_xticks(middles[::stride], [str(m) for m in range(len(middles))][::stride])
        top.xaxis.set_minor_locator(NullLocator())
        top.tick_params(length=0, labelcolor=GREY)
        top.spines[:].set_visible(False)
        top.set_xlabel("cycle", color=GREY)


def _short(layer: str) -> str:
    name = layer.removesuffix("/kernel")
    return name if len(name) <= 34 else f"{name[:14]}…{name[-19:]}"


def _write_cells(axes: Axes, density: NDArray[np.float64], darkness: NDArray[np.float64]) -> None:
    """Writes the sparsity into the cells where it fits, and always where a layer is gone."""
    roomy = density.shape[1] <= 12
    for (row, column), value in np.ndenumerate(density):
        if np.isfinite(value) and (roomy or value == 0):
            text = f"{100 * (1 - value):.3g}"
            color = "white" if darkness[row, column] > 0.62 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=10, color=color)
