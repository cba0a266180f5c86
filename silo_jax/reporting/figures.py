"""The figures of a run: each function takes the results and returns a matplotlib figure."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from silo_jax.reporting import run_numbers
from silo_jax.reporting.lines import draw_line
from silo_jax.reporting.results import RunResults
from silo_jax.reporting.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    VERMILION,
    Look,
    density_axis,
    short_layer,
    spaced,
)

LOOKS: dict[str, Look] = {
    "test": {"color": BLUE, "marker": "o", "zorder": 3},
    "validation": {"color": VERMILION, "marker": "s", "linestyle": "--"},
    "training": {"color": GREEN},
}
_LR = BLUE
_LEVELS = np.array([1, 0.8, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0001])


def accuracy_by_density(run: RunResults) -> Figure:
    """Draws test and validation accuracy against density, densest on the left."""
    figure = Figure()
    axes = figure.add_subplot()
    test, _ = lines = run_numbers.accuracy_lines(run)
    for line in lines:
        draw_line(axes, line, **LOOKS[line.name])
    axes.axhline(test.y[0], color=GREY, linewidth=1, linestyle=":", label="test, dense network")
    density_axis(axes, test.x)
    axes.set_ylabel("accuracy, %")
    axes.legend()
    return figure


def max_lr_by_cycle(run: RunResults) -> Figure:
    """Draws max_lr over the cycles, and sparsity on a light second axis."""
    figure = Figure()
    axes = figure.add_subplot()
    max_lr, sparsity = run_numbers.max_lr_lines(run)
    behind = axes.twinx()
    behind.plot(sparsity.x, sparsity.y, color=GREY, linewidth=1.2, linestyle="--")
    behind.set(ylim=(0, 105), ylabel="sparsity, % (dashed)")
    behind.yaxis.label.set_color(GREY)
    behind.tick_params(colors=GREY, labelcolor=GREY, length=0)
    behind.grid(visible=False)
    draw_line(axes, max_lr, color=_LR, marker="o")
    axes.set_xlim(-0.5, max_lr.x[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
    axes.set(xlabel="cycle", ylabel="max_lr")
    axes.yaxis.label.set_color(_LR)
    axes.set_ylim(bottom=0, top=1.08 * largest(max_lr.y))
    return figure


def lr_by_step(run: RunResults) -> Figure:
    """Draws the learning rate over all steps, with the ends of the cycles."""
    figure = Figure()
    axes = figure.add_subplot()
    _, step, lr, *_ = run_numbers.lr_line(run)
    axes.plot(step, lr, color=_LR, linewidth=1.3)
    axes.set(xlabel="step", ylabel="learning rate")
    axes.set_xlim(step[0], max(step[-1], step[0] + 1))
    axes.set_ylim(bottom=0, top=1.08 * largest(lr))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    _mark_cycles(axes, run_numbers.step_edges(run))
    return figure


def training_curves(run: RunResults) -> Figure:
    """Draws loss and accuracy over the epochs of all cycles."""
    figure = Figure(figsize=(8, 6.5))
    upper, lower = figure.subplots(2, 1, sharex=True)
    edges = run_numbers.epoch_edges(run)
    for axes, quantity in zip((upper, lower), run_numbers.QUANTITIES, strict=True):
        for split in run_numbers.SPLITS:
            line = run_numbers.joined(run_numbers.training_lines(run, quantity, split))
            marker = "." if len(line.x) <= 80 else ""
            draw_line(axes, line, **(LOOKS[split] | {"marker": marker, "linewidth": 1.2}))
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
    layers, density = run_numbers.layer_densities(run)
    shade, least = shades(density)

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
    axes.set_yticks(range(len(layers)), [short_layer(layer) for layer in layers])
    _write_cells(axes, density, shade / np.log10(least))

    ticks = levels(least)
    slim = 6 * figure.get_figheight()
    bar = figure.colorbar(image, ax=axes, label="sparsity, %", pad=0.02, aspect=slim)
    bar.set_ticks(np.log10(ticks).tolist(), labels=[f"{100 * (1 - tick):.4g}" for tick in ticks])
    bar.outline.set_visible(False)
    bar.ax.invert_yaxis()
    return figure


def shades(density: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Finds the shade of each density, log10 of it, and the density below which all are alike."""
    least = float(min(0.5, np.min(density[density > 0], initial=1.0)))
    return np.log10(np.maximum(density, least)), least


def levels(least: float) -> list[float]:
    """Picks the densities that the scale of shades names."""
    return spaced(_LEVELS[_LEVELS / least > 0.999], 0.08)


def largest(values: NDArray[np.float64]) -> float:
    """The largest value that is finite, 1 if there is none above 0."""
    return float(np.max(values[np.isfinite(values)], initial=0.0)) or 1.0


def falls_far(losses: NDArray[np.float64]) -> bool:
    """Whether the loss falls by more than a factor of thirty, so that it takes a log scale."""
    positive = losses[losses > 0]
    return bool(positive.size and positive.max() > 30 * positive.min())


def _loss_scale(axes: Axes) -> None:
    means = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
    if falls_far(means):
        positive = means[means > 0]
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(positive.min() / 1.5, positive.max() * 1.5)
    else:
        axes.set_ylim(bottom=0)


def _mark_cycles(axes: Axes, edges: NDArray[np.int64], numbered: bool = True) -> None:
    axes.grid(visible=False, axis="x")
    for edge in edges[1:-1]:
        axes.axvline(edge, color=FAINT, linewidth=0.8, zorder=0.5)
    if numbered and len(edges) > 1:
        stride = -(-(len(edges) - 1) // 13)
        middles = [(start + end) / 2 for start, end in itertools.pairwise(edges)]
        top = axes.secondary_xaxis("top")
        top.set_xticks(middles[::stride], [str(m) for m in range(len(middles))][::stride])
        top.xaxis.set_minor_locator(NullLocator())
        top.tick_params(length=0, labelcolor=GREY)
        top.spines[:].set_visible(False)
        top.set_xlabel("cycle", color=GREY)


def _write_cells(axes: Axes, density: NDArray[np.float64], darkness: NDArray[np.float64]) -> None:
    """Writes the sparsity into the cells where it fits, and always where a layer is gone."""
    roomy = density.shape[1] <= 12
    for (row, column), value in np.ndenumerate(density):
        if np.isfinite(value) and (roomy or value == 0):
            text = f"{100 * (1 - value):.3g}"
            color = "white" if darkness[row, column] > 0.62 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=10, color=color)
