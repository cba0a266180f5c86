"""The figures of tuned bounds: each function takes results and returns a matplotlib figure."""

import numpy as np
from matplotlib.figure import Figure

from silo_jax.reporting import style
from silo_jax.reporting.aggregate import format_percent
from silo_jax.reporting.lines import draw_line
from silo_jax.reporting.oracle import lines
from silo_jax.reporting.oracle.earlier import EarlierOracle
from silo_jax.reporting.oracle.figures import LOOKS, Look, cycle_axis, draw_intervals
from silo_jax.reporting.oracle.results import OracleSearch

COLOURS = (style.BLUE, style.VERMILION)


def accuracy_by_max_lr(search: OracleSearch) -> Figure:
    """Draws validation accuracy against max_lr: of the dense network, and of the pruned one."""
    choices = search.choices
    drawn = lines.tried_lines(search)
    figure = Figure(figsize=(8, 1.0 + 3.6 * len(drawn)))
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axes, line, color in zip(panels, drawn, COLOURS, strict=False):
        cycle = line.told["cycle"]
        draw_line(axes, line, color=color, marker="o")
        if cycle < len(choices["cycle"]) and np.isfinite(choices["low"][cycle]):
            ends = choices["low"][cycle], choices["high"][cycle]
            axes.axvspan(*ends, color=style.GREY, alpha=0.15, linewidth=0)
        ring: Look = {"markersize": 14, "markerfacecolor": "none", "markeredgewidth": 2}
        best = line.told["chosen"] == 1
        axes.plot(line.x[best], line.y[best], "o", color=style.BLACK, **ring)
        style.accuracy_axis(axes, "validation", style.focus(line.y))
        axes.set_title(network_name(search, cycle), loc="left", fontsize=12)
    style.max_lr_axis(panels[-1], "x", search.grid["max_lr"])
    panels[-1].set_xlabel("max_lr (log scale)")
    return figure


def network_name(search: OracleSearch, cycle: int) -> str:
    """What is tuned in a cycle: the dense network, or that pruned in one shot."""
    if cycle == 0:
        return "dense network: lower"
    density = search.grid["density"][search.grid["cycle"] == cycle]
    if not np.isfinite(density).any():
        return "pruned in one shot: upper"
    return f"{format_percent(float(np.nanmean(density)))} % left: upper"


def curve_and_oracle(earlier: EarlierOracle) -> Figure:
    """Draws the S-curve between the bounds over the Oracle's choices and intervals."""
    figure = Figure()
    axes = figure.add_subplot()
    oracle, curve = drawn = lines.curve_lines(earlier)
    draw_intervals(axes, oracle)
    draw_line(axes, curve, **LOOKS[curve.name])
    cycle_axis(axes, oracle.x)
    heights = [part for line in drawn for part in (line.y, line.low, line.high) if part is not None]
    style.max_lr_axis(axes, "y", np.concatenate(heights))
    axes.set_ylabel("max_lr (log scale)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
