"""The numbers that the figures of the premise draw."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import over_present
from silo_jax.reporting.lines import Line, Numbers, Row, line_numbers
from silo_jax.reporting.premise.histograms import layers_of, pooled
from silo_jax.reporting.premise.numbers import (
    inverse_width,
    max_lr_of_run,
    positive,
    scaled,
    update_size,
)
from silo_jax.reporting.premise.results import MOMENTS, NETWORK, QUANTITIES, Premise

MEASURES = {"std": "standard deviation", "middle_90": "middle 90 %"}


class Histogram(NamedTuple):
    """How the values of a layer, or of the network, are distributed in each measured cycle.

    Attributes:
        quantity: One of `QUANTITIES`.
        layer: Its name, or `NETWORK`.
        edges: Of equal bins.
        shares: Of the values in each bin, shape (measured cycles, bins).
    """

    quantity: str
    layer: str
    edges: NDArray[np.float64]
    shares: NDArray[np.float64]


def inverse_lines(premise: Premise, moment: str) -> list[Line]:
    """1/width of each quantity at a moment, and max_lr, by cycle, all scaled to start at 1."""
    found = []
    for quantity in premise.quantities:
        values = inverse_width(premise, moment, quantity)
        told = {"moment": moment, "quantity": quantity}
        name = f"1/width of {QUANTITIES[quantity]}"
        found.append(_mean_line(name, premise.measured, values, told))
    cycles, max_lr = max_lr_of_run(premise)
    told = {"moment": moment, "quantity": "max_lr"}
    return [*found, _mean_line(f"max_lr ({premise.schedule})", cycles, max_lr, told)]


def width_lines(premise: Premise, quantity: str) -> list[Line]:
    """Widths of a quantity by density: standard deviation and middle 90 % at each moment."""
    return [
        _mean_line(
            f"{name}, {MOMENTS[moment]}",
            premise.density,
            positive(premise.width(moment, quantity, measure)),
            {"quantity": quantity, "moment": moment, "measure": measure},
        )
        for moment in premise.moments
        for measure, name in MEASURES.items()
    ]


def update_lines(premise: Premise) -> list[Line]:
    """The mean size of the update by density at each moment at which there is one."""
    found = []
    for moment in premise.moments:
        size = positive(update_size(premise, moment))
        if np.isfinite(size).any():
            found.append(_mean_line(MOMENTS[moment], premise.density, size, {"moment": moment}))
    return found


def relative_widths(premise: Premise, moment: str, quantity: str) -> NDArray[np.float64]:
    """Each layer's width over that in the first cycle, shape (layers, measured cycles)."""
    return np.array(
        [
            over_present(scaled(premise.width(moment, quantity, layer=layer))).mean
            for layer in layers_of(premise, quantity)
        ]
    )


def histograms_at(premise: Premise, moment: str) -> list[Histogram]:
    """The distributions at a moment: of the network, and of its layers if they were noted."""
    return [
        Histogram(quantity, layer, *pooled(premise, moment, quantity, layer))
        for quantity in premise.quantities
        for layer in (NETWORK, *layers_of(premise, quantity, premise.layer_histograms))
    ]


def inverse_numbers(premise: Premise) -> Numbers:
    """For figures/inverse_widths.csv."""
    found = [line for moment in premise.moments for line in inverse_lines(premise, moment)]
    return line_numbers(found, name="line", x="cycle", y="times_first")


def width_numbers(premise: Premise) -> Numbers:
    """For figures/widths_by_density.csv."""
    found = [line for quantity in premise.quantities for line in width_lines(premise, quantity)]
    return line_numbers(found, name="line", x="density", y="width")


def update_numbers(premise: Premise) -> Numbers:
    """For figures/update_by_density.csv."""
    columns = ["line", "moment", "seeds", "density", "update", "low", "high"]
    found = line_numbers(update_lines(premise), name="line", x="density", y="update")
    return found._replace(columns=columns)


def layer_numbers(premise: Premise, quantity: str) -> Numbers:
    """For figures/widths_by_layer_QUANTITY.csv."""
    rows: list[Row] = [
        {"moment": moment, "layer": layer, "cycle": cycle, "density": density, "times_first": width}
        for moment in premise.moments
        for layer, widths in zip(
            layers_of(premise, quantity), relative_widths(premise, moment, quantity), strict=True
        )
        for cycle, density, width in zip(
            premise.measured.tolist(), premise.density.tolist(), widths.tolist(), strict=True
        )
    ]
    return Numbers(["moment", "layer", "cycle", "density", "times_first"], rows)


def histogram_numbers(premise: Premise, moment: str) -> Numbers:
    """For figures/histograms_MOMENT.csv."""
    rows: list[Row] = []
    for one in histograms_at(premise, moment):
        told = {"moment": moment, "quantity": one.quantity, "layer": one.layer}
        edges = one.edges.tolist()
        for cycle, density, shares in zip(
            premise.measured.tolist(), premise.density.tolist(), one.shares.tolist(), strict=True
        ):
            bins = zip(edges[:-1], edges[1:], shares, strict=True)
            of_cycle = {**told, "cycle": cycle, "density": density}
            rows += [
                {**of_cycle, "left": left, "right": right, "share": share}
                for left, right, share in bins
            ]
    columns = ("moment", "quantity", "layer", "cycle", "density", "left", "right", "share")
    return Numbers(columns, rows)


def _mean_line(name: str, x: NDArray[Any], values: NDArray[np.float64], told: Row) -> Line:
    """The mean over the seeds; a band that would reach 0 on a log axis ends above it."""
    stats = over_present(values)
    low, high = stats.mean - stats.std, stats.mean + stats.std
    low = np.where(low > 0, low, stats.mean / 100)
    low = np.where(np.isfinite(stats.std), low, np.nan)
    return Line(name, x, stats.mean, low, high, {**told, "seeds": stats.seeds})
