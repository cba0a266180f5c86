"""The figures of the premise that a reader can change."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from silo_jax.reporting import style
from silo_jax.reporting.interactive import (
    Control,
    Interactive,
    Option,
    Part,
    density_ticks,
    line_traces,
    log_axis,
    menu,
    titled,
)
from silo_jax.reporting.premise import lines
from silo_jax.reporting.premise.figures import (
    OF_MOMENT,
    OF_QUANTITY,
    SMALLEST_SHARE,
    densities,
    reach_of,
    width_look,
)
from silo_jax.reporting.premise.histograms import layers_of
from silo_jax.reporting.premise.results import MOMENTS, NETWORK, QUANTITIES, Premise
from silo_jax.reporting.premise.tables import NAMES

_NARROW = 20  # letters of a layer's name that leave a phone's width to the figure
_PIXELS_A_LAYER = 26
_PUOR = ["#7f3b08", "#e08214", "#fee0b6", "#f7f7f7", "#d8daeb", "#8073ac", "#2d004b"]


def inverse_widths(premise: Premise) -> Interactive:
    """1/width beside max_lr over the cycles, at the moment picked."""
    traces = [
        part
        for moment in premise.moments
        for line in lines.inverse_lines(premise, moment)
        for part in line_traces(
            line,
            OF_QUANTITY[line.told["quantity"]],
            pick={"moment": [moment]},
            hover="cycle %{x}: %{y:.3~g}",
            shade=0.15,
        )
    ]
    layouts = [Part({"xaxis": titled("cycle"), "height": 500})]
    for moment in premise.moments:
        drawn = lines.inverse_lines(premise, moment)
        ends = [part for line in drawn for part in (line.y, line.high) if part is not None]
        axis = log_axis("start = 1 (log scale)", np.concatenate(ends))
        layouts.append(Part({"yaxis": axis}, {"moment": [moment]}))
    return Interactive(traces, layouts, [_moments(premise)])


def widths_by_density(premise: Premise) -> Interactive:
    """Standard deviation and middle 90 % of the quantity picked against density."""
    traces = [
        part
        for quantity in premise.quantities
        for line in lines.width_lines(premise, quantity)
        for part in line_traces(
            line,
            width_look(line),
            pick={"quantity": [quantity]},
            hover="density %{x:.3~%}: %{y:.3~g}",
            shade=0.15,
        )
    ]
    layout = {"xaxis": density_ticks(premise.density), "yaxis": _powers("width (log scale)")}
    return Interactive(traces, [Part(layout | {"height": 500})], [_quantities(premise)])


def update_by_density(premise: Premise) -> Interactive:
    """The mean size of the update lr·|g| against density, a line a moment."""
    traces = [
        part
        for line in lines.update_lines(premise)
        for part in line_traces(
            line,
            OF_MOMENT[line.told["moment"]],
            hover="density %{x:.3~%}: %{y:.3~g}",
            shade=0.15,
        )
    ]
    layout = {"xaxis": density_ticks(premise.density), "yaxis": _powers("mean lr·|g| (log scale)")}
    return Interactive(traces, [Part(layout)])


def histograms(premise: Premise) -> Interactive:
    """The distribution of a quantity in a layer, or the network, at a moment; a line a cycle."""
    colours = [to_hex(c) for c in _shades(len(premise.measured))]
    labels = densities(premise)
    traces, layouts, options = [], [], {}
    for moment in premise.moments:
        for one in lines.histograms_at(premise, moment):
            value = f"{one.quantity} {one.layer}"
            place = "whole network" if one.layer == NETWORK else one.layer
            shown = f"{NAMES[one.quantity]}: {place}"
            options[value] = Option(value, shown, QUANTITIES[one.quantity])
            pick = {"moment": [moment], "layer": [value]}
            step = one.edges[1] - one.edges[0]
            ends = {"range": [one.edges[0], one.edges[-1]]}
            layouts.append(Part({"xaxis": ends}, pick))
            for cycle, shares, colour, label in zip(
                premise.measured, one.shares, colours, labels, strict=True
            ):
                stairs: dict[str, Any] = {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"cycle {label}",
                }
                stairs |= {"x0": one.edges[0], "dx": step, "y": _stairs(shares)}
                stairs |= {"line": {"shape": "hv", "color": colour, "width": 1.8}}
                stairs |= {"hovertemplate": f"%{{y:.3~g}} from %{{x:.3~g}}<extra>{label}</extra>"}
                traces.append(Part(stairs, pick | {"cycle": [str(cycle)]}))
    shares = _powers("share of values (log scale)")
    shares["range"] = [np.log10(SMALLEST_SHARE), np.log10(1.3)]
    boxes = [
        Option(str(cycle), label, colour=colour)
        for cycle, label, colour in zip(premise.measured, labels, colours, strict=True)
    ]
    several = Control("cycle", "cycles (density)", boxes, [b.value for b in boxes], several=True)
    return Interactive(
        traces,
        [Part({"xaxis": titled("value"), "yaxis": shares, "showlegend": False}), *layouts],
        [
            Control("layer", "quantity and layer", list(options.values()), [next(iter(options))]),
            _moments(premise),
            several,
        ],
    )


def widths_by_layer(premise: Premise) -> Interactive:
    """Each layer's width over that in the first cycle, of a quantity at a moment."""
    traces, layouts = [], []
    for quantity in premise.quantities:
        layers = layers_of(premise, quantity)
        shares = [lines.relative_widths(premise, moment, quantity) for moment in premise.moments]
        reach = np.log10(reach_of(shares))
        rows = {
            "tickvals": list(range(len(layers))),
            "ticktext": [style.short_layer(layer, _NARROW) for layer in layers],
            "range": [len(layers) - 0.5, -0.5],
        }
        height = max(260, 200 + _PIXELS_A_LAYER * len(layers))
        pick = {"quantity": [quantity]}
        layouts.append(Part({"yaxis": rows, "height": height}, pick))
        for moment, share in zip(premise.moments, shares, strict=True):
            traces.append(Part(_heat(premise, share, reach), pick | {"moment": [moment]}))
    cycles = [str(cycle) for cycle in premise.measured]
    along = {"tickvals": list(range(len(cycles))), "ticktext": cycles}
    return Interactive(
        traces,
        [Part({"xaxis": titled("cycle", **along)}), *layouts],
        [_quantities(premise), _moments(premise)],
    )


def _heat(premise: Premise, share: np.ndarray, reach: float) -> dict[str, Any]:
    ticks = [-reach, -reach / 2, 0, reach / 2, reach]
    bar: dict[str, Any] = {
        "title": {"text": f"width / that in cycle {premise.measured[0]}", "side": "top"}
    }
    bar |= {"orientation": "h", "y": 1.02, "yanchor": "bottom", "thickness": 12}
    bar |= {"tickvals": ticks, "ticktext": [f"{10**tick:.2g}" for tick in ticks]}
    count = len(_PUOR) - 1
    return {
        "type": "heatmap",
        "x": list(range(share.shape[1])),
        "y": list(range(share.shape[0])),
        "z": np.log10(share),
        "customdata": share,
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [(index / count, shade) for index, shade in enumerate(_PUOR)],
        "colorbar": bar,
        "xgap": 1,
        "ygap": 1,
        "showlegend": False,
        "hovertemplate": "%{y}, cycle %{x}: %{customdata:.3~g} times<extra></extra>",
    }


def _stairs(shares: np.ndarray) -> np.ndarray:
    """Heights at the bins' left edges and at the last right one; none where nothing is."""
    heights = np.where(shares > 0, shares, np.nan)
    return np.append(heights, heights[-1])


def _shades(number: int) -> Any:
    """Colours from light to dark that are seen on a light and on a dark page."""
    return matplotlib.colormaps["viridis"](np.linspace(0.85, 0.3, number))


def _powers(text: str) -> dict[str, Any]:
    """A log axis over several powers of ten."""
    return titled(text, type="log", dtick=1, exponentformat="power")


def _moments(premise: Premise) -> Control:
    return menu("moment", "moment", [(moment, MOMENTS[moment]) for moment in premise.moments])


def _quantities(premise: Premise) -> Control:
    named = [(quantity, QUANTITIES[quantity]) for quantity in premise.quantities]
    return menu("quantity", "quantity", named)
