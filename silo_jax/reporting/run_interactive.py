"""The figures of a run that a reader can change."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting import figures, run_numbers
from silo_jax.reporting.aggregate import over_seeds
from silo_jax.reporting.interactive import (
    ALL,
    Control,
    Interactive,
    Option,
    Part,
    colour,
    density_ticks,
    line_traces,
    menu,
    titled,
)
from silo_jax.reporting.results import RunResults
from silo_jax.reporting.style import BLUE, GREY, short_layer

Floats = NDArray[np.float64]

_NARROW = 20  # letters of a layer's name that leave a phone's width to the figure
_PIXELS_A_LAYER = 26
_BLUES = [(0, "#08306b"), (0.25, "#2171b5"), (0.5, "#6baed6"), (0.75, "#c6dbef"), (1, "#f7fbff")]


def accuracy_by_density(run: RunResults) -> Interactive:
    """Test and validation accuracy against density."""
    lines = run_numbers.accuracy_lines(run)
    dense = {"type": "line", "xref": "paper", "x0": 0, "x1": 1}
    dense |= {"y0": lines[0].y[0], "y1": lines[0].y[0]}
    dense |= {"line": {"color": colour(GREY), "width": 1, "dash": "dot"}}
    cycles = [f"cycle {cycle}" for cycle in lines[0].told["cycle"]]
    hover = "%{text}, density %{x:.3~%}: %{y:.2f} %"
    return Interactive(
        [
            part
            for line in lines
            for part in line_traces(line, figures.LOOKS[line.name], hover=hover, text=cycles)
        ],
        [
            Part(
                {
                    "xaxis": density_ticks(lines[0].x),
                    "yaxis": titled("accuracy, %"),
                    "shapes": [dense] if np.isfinite(lines[0].y[0]) else [],
                }
            )
        ],
    )


def max_lr_by_cycle(run: RunResults) -> Interactive:
    """max_lr over the cycles, and sparsity on a second axis."""
    max_lr, sparsity = run_numbers.max_lr_lines(run)
    hover = "cycle %{x}: %{y:.4~g}"
    behind = {"color": GREY, "linestyle": "--", "linewidth": 1.2}
    layout = {
        "xaxis": titled("cycle"),
        "yaxis": titled("max_lr", range=[0, 1.08 * figures.largest(max_lr.y)]),
        "yaxis2": titled(
            "sparsity, %",
            overlaying="y",
            side="right",
            range=[0, 108],
            showgrid=False,
            tickmode="linear",
            dtick=20,
        ),
    }
    return Interactive(
        [
            *line_traces(sparsity, behind, hover=hover, yaxis="y2"),
            *line_traces(max_lr, {"color": BLUE, "marker": "o"}, hover=hover),
        ],
        [Part(layout)],
    )


def lr_by_step(run: RunResults) -> Interactive:
    """The learning rate over all steps, with the ends of the cycles."""
    line = run_numbers.lr_line(run)
    hover = "step %{x:,}: %{y:.4~g}"
    layout = {
        "xaxis": titled("step"),
        "yaxis": titled("learning rate", range=[0, 1.08 * figures.largest(line.y)]),
        "showlegend": False,
        "shapes": [_upright(float(edge)) for edge in run_numbers.step_edges(run)[1:-1]],
    }
    look = {"color": BLUE, "linewidth": 1.3}
    return Interactive(line_traces(line, look, hover=hover), [Part(layout)])


def training_curves(run: RunResults) -> Interactive:
    """Loss and accuracy by epoch, of all cycles or of one."""
    traces, losses = [], []
    hover = "epoch %{x}: %{y:.4~g}"
    for quantity, axis in zip(run_numbers.QUANTITIES, ("y", "y2"), strict=True):
        for split in run_numbers.SPLITS:
            look = figures.LOOKS[split] | {"marker": "o"}
            lines = run_numbers.training_lines(run, quantity, split)
            whole = run_numbers.joined(lines)
            many = look | {"marker": "o" if len(whole.x) <= 80 else "", "linewidth": 1.2}
            traces += line_traces(
                whole, many, pick={"cycle": [ALL]}, hover=hover, yaxis=axis, xaxis="x"
            )
            for line in lines:
                pick = {"cycle": [str(line.told["cycle"])]}
                traces += line_traces(line, look, pick=pick, hover=hover, yaxis=axis, xaxis="x")
            losses += [whole.y] if quantity == "loss" else []
    scale = "log" if figures.falls_far(np.concatenate(losses)) else "linear"
    upper = titled(
        "loss", domain=[0.55, 1], type=scale, **({} if scale == "log" else {"rangemode": "tozero"})
    )
    layout = {
        "height": 560,
        "xaxis": titled("epoch, counted over all cycles", anchor="y2"),
        "yaxis": upper,
        "yaxis2": titled("accuracy, %", domain=[0, 0.45]),
    }
    edges = run_numbers.epoch_edges(run)[1:-1]
    shapes = [_upright(float(edge)) for edge in edges]
    cycles = [(ALL, "all cycles"), *_cycles(run)]
    whole_epochs = {"dtick": -(-int(run.metrics["epoch"].max()) // 8)}
    return Interactive(
        traces,
        [
            Part(layout),
            Part({"shapes": shapes}, {"cycle": [ALL]}),
            Part({"xaxis": whole_epochs}, {"cycle": [cycle for cycle, _ in cycles[1:]]}),
        ],
        [menu("cycle", "cycle (density)", cycles)],
    )


def sparsity_by_layer(run: RunResults) -> Interactive:
    """Sparsity of all layers in all cycles as a heat map, of one layer, or in one cycle."""
    layers, density = run_numbers.layer_densities(run)
    sparsity, cycles = 100 - 100 * density, list(range(density.shape[1]))
    one_layer = [f"layer {index}" for index in range(len(layers))]
    one_cycle = [f"cycle {cycle}" for cycle in cycles]
    rows = _rows([short_layer(layer, _NARROW) for layer in layers])
    lines = zip(layers, sparsity, one_layer, strict=True)
    traces = [
        Part(_heat_of_layers(density), {"shown": [ALL]}),
        *(Part(_line_of_layer(*line), {"shown": [shown]}) for *line, shown in lines),
        *(
            Part(_bars_of_cycle(column), {"shown": [shown]})
            for column, shown in zip(sparsity.T, one_cycle, strict=True)
        ),
    ]
    percent = titled("sparsity, %", range=[-2, 102])
    across = titled("sparsity, %", range=[0, 100])
    layouts = [
        Part(
            {"xaxis": titled("cycle"), "yaxis": rows, **_height(len(layers), 190)}, {"shown": [ALL]}
        ),
        Part({"xaxis": titled("cycle"), "yaxis": percent}, {"shown": one_layer}),
        Part({"xaxis": across, "yaxis": rows, **_height(len(layers), 110)}, {"shown": one_cycle}),
    ]
    options = [
        Option(ALL, "all layers, all cycles"),
        *(
            Option(shown, layer, "one layer")
            for shown, layer in zip(one_layer, layers, strict=True)
        ),
        *(
            Option(f"cycle {m}", f"cycle {label}", "one cycle (density)")
            for m, label in _cycles(run)
            if int(m) in cycles
        ),
    ]
    return Interactive(traces, layouts, [Control("shown", "layer or cycle", options, [ALL])])


def _heat_of_layers(density: Floats) -> dict[str, Any]:
    """A heat map of sparsity, shaded by the logarithm of density, of shape (layers, cycles)."""
    shade, least = figures.shades(density)
    ticks = figures.levels(least)
    return {
        "type": "heatmap",
        "x": list(range(density.shape[1])),
        "y": list(range(len(density))),
        "z": shade,
        "customdata": 100 - 100 * density,
        "zmin": np.log10(least),
        "zmax": 0,
        "colorscale": _BLUES,
        "showlegend": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{y}, cycle %{x}: %{customdata:.4~g} % sparse<extra></extra>",
        "colorbar": {
            "title": {"text": "sparsity, %", "side": "top"},
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "thickness": 12,
            "tickvals": np.log10(ticks),
            "ticktext": [f"{100 * (1 - tick):.4g}" for tick in ticks],
        },
    }


def _line_of_layer(layer: str, sparsity: Floats) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(range(len(sparsity))),
        "y": sparsity,
        "line": {"color": colour(BLUE)},
        "name": layer,
        "hovertemplate": "cycle %{x}: %{y:.4~g} %<extra></extra>",
        "showlegend": False,
    }


def _bars_of_cycle(sparsity: Floats) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "x": sparsity,
        "y": list(range(len(sparsity))),
        "marker": {"color": colour(BLUE)},
        "hovertemplate": "%{y}: %{x:.4~g} %<extra></extra>",
        "showlegend": False,
    }


def _cycles(run: RunResults) -> list[tuple[str, str]]:
    """The cycles that have begun, and how a menu shows them."""
    stats = over_seeds(run.metrics["cycle"], run.metrics["density"])
    pairs = zip(stats.keys.tolist(), stats.mean.tolist(), strict=True)
    return [(str(cycle), f"{cycle} ({100 * density:.3g} %)") for cycle, density in pairs]


def _rows(names: list[str]) -> dict[str, Any]:
    """A y axis of names, the first on top."""
    places = list(range(len(names)))
    return {"tickvals": places, "ticktext": names, "range": [len(names) - 0.5, -0.5]}


def _height(layers: int, around: int) -> dict[str, int]:
    return {"height": max(260, around + _PIXELS_A_LAYER * layers)}


def _upright(x: float) -> dict[str, Any]:
    line = {"color": "--line", "width": 1}
    ends = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    return {"type": "line", "x0": x, "x1": x, "line": line, **ends}
