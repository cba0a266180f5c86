"""The figures of the premise: each function takes the results and returns a matplotlib figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from silo_jax.reporting import style
from silo_jax.reporting.lines import Line, draw_line
from silo_jax.reporting.premise import lines
from silo_jax.reporting.premise.histograms import layers_of, pooled
from silo_jax.reporting.premise.results import MOMENTS, QUANTITIES, Premise
from silo_jax.reporting.style import Look, short_layer

SMALLEST_SHARE = 1e-5
_FEW_LAYERS = 8
_ROOMY = 12  # columns in which numbers fit
OF_QUANTITY: dict[str, Look] = {
    "gradient": {"color": style.BLUE, "marker": "o"},
    "before": {"color": style.VERMILION, "marker": "s"},
    "after": {"color": style.GREEN, "marker": "^"},
    "max_lr": {"color": style.BLACK, "linewidth": 2.8, "zorder": 4},
}
OF_MOMENT: dict[str, Look] = {
    "initialisation": {"color": style.BLUE, "marker": "o"},
    "warmed_up": {"color": style.ORANGE, "marker": "s"},
    "end": {"color": style.PURPLE, "marker": "^"},
}


def inverse_widths(premise: Premise) -> Figure:
    """Draws 1/width beside max_lr over the cycles, a panel a moment, all scaled to start at 1."""
    figure, panels = _stacked(len(premise.moments), height=3.2)
    for axes, moment in zip(panels, premise.moments, strict=True):
        axes.axhline(1, color=style.GREY, linewidth=0.8)
        for line in lines.inverse_lines(premise, moment):
            _draw(axes, line, **OF_QUANTITY[line.told["quantity"]])
            cycles = line.x
        style.factor_axis(axes)
        axes.set_title(MOMENTS[moment], loc="left", fontsize=12)
        axes.set_ylabel("start = 1 (log scale)")
    panels[-1].xaxis.set_major_locator(MaxNLocator(13, integer=True, min_n_ticks=1))
    panels[-1].set(xlabel="cycle", xlim=(cycles[0] - 0.4, cycles[-1] + 0.4))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return figure


def histograms(premise: Premise, moment: str) -> Figure:
    """Draws the distributions at one moment, a panel a quantity and a line a cycle."""
    figure, panels = _stacked(len(premise.quantities), height=2.9, share=False)
    colours = matplotlib.colormaps["viridis_r"](np.linspace(0.08, 1, len(premise.measured)))
    for axes, quantity in zip(panels, premise.quantities, strict=True):
        edges, shares = pooled(premise, moment, quantity)
        for share, colour, label in zip(shares, colours, densities(premise), strict=True):
            axes.stairs(share, edges, color=colour, label=label, linewidth=1.4)
        axes.set(yscale="log", xlim=(edges[0], edges[-1]), ylim=(SMALLEST_SHARE, 1.3))
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(QUANTITIES[quantity], loc="left", fontsize=12)
        axes.set_ylabel("share of values\n(log scale)")
    panels[-1].set_xlabel("value")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        title="cycle (density)",
        fontsize=11,
    )
    return figure


def widths_by_density(premise: Premise) -> Figure:
    """Draws standard deviation and middle 90 % against density, a panel a quantity."""
    figure, panels = _stacked(len(premise.quantities), height=2.9)
    for axes, quantity in zip(panels, premise.quantities, strict=True):
        for line in lines.width_lines(premise, quantity):
            _draw(axes, line, **width_look(line))
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(QUANTITIES[quantity], loc="left", fontsize=12)
        axes.set_ylabel("width (log scale)")
    style.density_axis(panels[-1], premise.density)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=11
    )
    return figure


def update_by_density(premise: Premise) -> Figure:
    """Draws the mean size of the update lr·|g| against density, a line a moment."""
    figure = Figure()
    axes = figure.add_subplot()
    for line in lines.update_lines(premise):
        _draw(axes, line, **OF_MOMENT[line.told["moment"]])
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("mean lr·|g| of the weights left (log scale)")
    style.density_axis(axes, premise.density)
    axes.legend()
    return figure


def widths_by_layer(premise: Premise, quantity: str) -> Figure:
    """Draws each layer's width over that in the first cycle, a panel a moment, a row a layer.

    The panels stand side by side if there are many layers.
    """
    layers, moments = layers_of(premise, quantity), premise.moments
    shares = [lines.relative_widths(premise, moment, quantity) for moment in moments]
    are_many = len(layers) > _FEW_LAYERS
    rows, columns = (1, len(moments)) if are_many else (len(moments), 1)
    figure = Figure(figsize=(8, 1.6 + (0.55 + 0.3 * len(layers)) * rows))
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    reach = reach_of(shares)
    norm = LogNorm(1 / reach, reach)
    for axes, moment, share in zip(panels, moments, shares, strict=True):
        image = axes.imshow(share, cmap="PuOr", norm=norm, aspect="auto", interpolation="nearest")
        axes.set_title(MOMENTS[moment], loc="left", fontsize=10 if are_many else 12)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if share.shape[1] * columns <= _ROOMY:
            _write_cells(axes, share, norm)
    axes.set_yticks(range(len(layers)), [short_layer(layer) for layer in layers])
    cycles = [str(cycle) for cycle in premise.measured]
    stride = -(-len(cycles) * columns // _ROOMY)
    axes.set_xticks(range(0, len(cycles), stride), cycles[::stride])
    figure.supxlabel("cycle", fontsize=12)
    label, slim = f"width / that in cycle {cycles[0]}", 6 * figure.get_figheight()
    bar = figure.colorbar(image, ax=panels, label=label, pad=0.02, aspect=slim)
    bar.outline.set_visible(False)
    style.factor_axis(bar.ax)
    return figure


def _stacked(number: int, height: float, share: bool = True) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8, 1.4 + height * number))
    return figure, list(np.atleast_1d(figure.subplots(number, 1, sharex=share)))


def width_look(line: Line) -> Look:
    """The look of a width: its moment's, dashed where it is the middle 90 %."""
    dashed: Look = {"linestyle": "--", "markerfacecolor": "white"}
    return OF_MOMENT[line.told["moment"]] | (dashed if line.told["measure"] != "std" else {})


def _draw(axes: Axes, line: Line, **look: Any) -> None:
    draw_line(axes, line, shade=0.15, **look)


def densities(premise: Premise) -> list[str]:
    """The measured cycles, each with its density, as a legend shows them."""
    return [
        f"{cycle} ({100 * density:.3g} %)"
        for cycle, density in zip(premise.measured, premise.density, strict=True)
    ]


def reach_of(shares: Sequence[NDArray[np.float64]]) -> float:
    """The largest factor from 1 in either direction, 2 at least."""
    logs = np.abs(np.log(np.stack(shares)))
    return max(2.0, float(np.exp(np.max(logs[np.isfinite(logs)], initial=0))))


def _write_cells(axes: Axes, shares: NDArray[np.float64], norm: LogNorm) -> None:
    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10}
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            is_dark = abs(float(norm(share)) - 0.5) > 0.35
            colour = "white" if is_dark else "black"
            axes.text(column, row, f"{share:.2g}", color=colour, **text)
