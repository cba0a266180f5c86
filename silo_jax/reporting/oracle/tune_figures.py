"""The figures of tuned bounds: each function takes results and returns a matplotlib figure."""

import numpy as np
from matplotlib.figure import Figure

from silo_jax.reporting import style
from silo_jax.reporting.aggregate import format_percent, over_seeds
from silo_jax.reporting.oracle.earlier import EarlierOracle
from silo_jax.reporting.oracle.figures import Look, cycle_axis, draw_intervals
from silo_jax.reporting.oracle.results import OracleSearch


def accuracy_by_max_lr(search: OracleSearch) -> Figure:
    """Draws validation accuracy against max_lr: of the dense network, and of the pruned one."""
    choices, number = search.choices, len(search.choices["cycle"])
    figure = Figure(figsize=(8, 1.0 + 3.6 * number))
    panels = figure.subplots(number, 1, sharex=True, squeeze=False)[:, 0]
    for axes, cycle, color in zip(
        panels, choices["cycle"], (style.BLUE, style.VERMILION), strict=False
    ):
        rows = search.grid["cycle"] == cycle
        accuracy = search.grid["val_accuracy"][rows]
        max_lr, mean, std, _ = over_seeds(search.grid["max_lr"][rows], accuracy)
        axes.plot(max_lr, mean, color=color, marker="o", markersize=5)
        axes.fill_between(max_lr, mean - std, mean + std, color=color, alpha=0.18, linewidth=0)
        low, high = choices["low"][cycle], choices["high"][cycle]
        if np.isfinite(low):
            axes.axvspan(low, high, color=style.GREY, alpha=0.15, linewidth=0)
        ring: Look = {"markersize": 14, "markerfacecolor": "none", "markeredgewidth": 2}
        best = choices["max_lr"][cycle], choices["val_accuracy"][cycle]
        axes.plot(*best, "o", color=style.BLACK, **ring)
        style.accuracy_axis(axes, "validation", style.focus(mean))
        density = choices["density"][cycle]
        name = "dense network: lower" if cycle == 0 else f"{format_percent(density)} % left: upper"
        axes.set_title(name, loc="left", fontsize=12)
    style.max_lr_axis(panels[-1], "x", search.grid["max_lr"])
    panels[-1].set_xlabel("max_lr (log scale)")
    return figure


def curve_and_oracle(earlier: EarlierOracle) -> Figure:
    """Draws the S-curve between the bounds over the Oracle's choices and intervals."""
    figure = Figure()
    axes = figure.add_subplot()
    choices = earlier.choices
    draw_intervals(axes, choices)
    line: Look = {"color": style.BLACK, "linewidth": 2.2, "zorder": 4}
    axes.plot(choices["cycle"], earlier.curve, label="S-curve", **line)
    cycle_axis(axes, choices["cycle"])
    drawn = [choices["low"], choices["high"], choices["max_lr"], earlier.curve]
    style.max_lr_axis(axes, "y", np.concatenate(drawn))
    axes.set_ylabel("max_lr (log scale)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
