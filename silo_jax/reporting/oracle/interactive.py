"""The figures of a search that a reader can change."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting import style
from silo_jax.reporting.aggregate import format_percent
from silo_jax.reporting.interactive import (
    ALL,
    Control,
    Interactive,
    Part,
    colour,
    density_ticks,
    line_traces,
    log_axis,
    menu,
    titled,
)
from silo_jax.reporting.lines import Line
from silo_jax.reporting.oracle import lines
from silo_jax.reporting.oracle.earlier import EarlierOracle
from silo_jax.reporting.oracle.figures import ACCURACY_LOOKS, LEAST, LOOKS, line_heights
from silo_jax.reporting.oracle.numbers import by_cycle
from silo_jax.reporting.oracle.results import OracleSearch
from silo_jax.reporting.oracle.tune_figures import COLOURS, network_name

_HOVER = "cycle %{x}: %{y:.4~g}"


def max_lr_by_cycle(search: OracleSearch) -> Interactive:
    """The Oracle's max_lr and intervals over the cycles, and SILO's curve over them."""
    return _bands(lines.max_lr_lines(search))


def curve_and_oracle(earlier: EarlierOracle) -> Interactive:
    """The S-curve between the bounds over the Oracle's choices and intervals."""
    return _bands(lines.curve_lines(earlier))


def accuracy_by_max_lr(search: OracleSearch) -> Interactive:
    """Validation accuracy against max_lr in the cycle picked, or of all cycles as colours."""
    found = lines.tried_lines(search)
    traces, layouts = [], []
    silo_of = dict(
        zip(search.choices["cycle"].tolist(), by_cycle(search, search.silo, "max_lr"), strict=True)
    )
    for line in found:
        cycle = line.told["cycle"]
        pick = {"cycle": [str(cycle)]}
        traces += _tried(line, style.BLUE, pick)
        shapes = _interval(search, cycle)
        silo = silo_of.get(cycle, np.nan)
        if np.isfinite(silo):
            dashes = {"color": "--ink", "width": 2, "dash": "dash"}
            ends = {"x0": silo, "x1": silo, "yref": "paper", "y0": 0, "y1": 1}
            shapes.append({"type": "line", "line": dashes, "name": "SILO", **ends})
        layouts.append(Part({"shapes": shapes} | _focus(line), pick))
    along = log_axis("max_lr (log scale)", search.grid["max_lr"])
    one = {"xaxis": along, "yaxis": titled("validation accuracy, %")}
    cycles = {"cycle": [str(line.told["cycle"]) for line in found]}
    whole = {"xaxis": titled("cycle"), "yaxis": along, "height": 520}
    return Interactive(
        [_colours(found), _lost(found), _choices(search), *traces],
        [
            Part({"showlegend": False}),
            Part(one, cycles),
            Part(whole, {"cycle": [ALL]}),
            *layouts,
        ],
        [_cycles(search, found)],
    )


def accuracy_by_density(search: OracleSearch) -> Interactive:
    """Test accuracy of the Oracle and of SILO against density."""
    drawn = lines.accuracy_lines(search)
    hover = "density %{x:.3~%}: %{y:.2f} %"
    traces = [
        part for line in drawn for part in line_traces(line, ACCURACY_LOOKS[line.name], hover=hover)
    ]
    layout = {"xaxis": density_ticks(drawn[0].x), "yaxis": titled("test accuracy, %")}
    return Interactive(traces, [Part(layout)])


def tuned_accuracy(search: OracleSearch) -> Interactive:
    """Validation accuracy against max_lr: of the dense network, or of the pruned one."""
    traces, layouts, networks = [], [], []
    for line, named in zip(lines.tried_lines(search), COLOURS, strict=False):
        cycle = line.told["cycle"]
        pick = {"cycle": [str(cycle)]}
        traces += _tried(line, named, pick)
        layouts.append(Part({"shapes": _interval(search, cycle)} | _focus(line), pick))
        networks.append((str(cycle), network_name(search, cycle)))
    along = log_axis("max_lr (log scale)", search.grid["max_lr"])
    one = {"xaxis": along, "yaxis": titled("validation accuracy, %")}
    return Interactive(
        traces,
        [Part(one | {"showlegend": False}), *layouts],
        [menu("cycle", "network", networks)],
    )


def _bands(drawn: list[Line]) -> Interactive:
    oracle, *others = drawn
    told = oracle.told
    widths = (
        (oracle.low, oracle.high, 0.7, 0.22, "interval"),
        (told.get("se_low"), told.get("se_high"), 0.25, 0.45, "one standard error"),
    )
    traces = []
    for low, high, width, shade, name in widths:
        if low is None or high is None or not np.isfinite(low).any():
            continue
        bars: dict[str, Any] = {
            "type": "bar",
            "name": name,
            "x": oracle.x,
            "base": low,
            "y": high - low,
        }
        bars |= {"width": width, "marker": {"color": colour(style.BLUE, shade)}}
        bars |= {"customdata": high, "hovertemplate": _BETWEEN + f"<extra>{name}</extra>"}
        traces.append(Part(bars))
    for end, ends, symbol in (
        ("low", oracle.low, "triangle-down"),
        ("high", oracle.high, "triangle-up"),
    ):
        assert ends is not None, "an Oracle's line has an interval"
        is_open = told.get(f"{end}_open", np.zeros(len(oracle.x))) == 1
        arrows = {"type": "scatter", "mode": "markers", "x": oracle.x[is_open], "y": ends[is_open]}
        arrows |= {"marker": {"symbol": symbol, "size": 10, "color": colour(style.BLUE)}}
        traces.append(Part(arrows | {"showlegend": False, "hoverinfo": "skip"}))
    alone = oracle._replace(low=None, high=None)
    for line in (alone, *others):
        traces += line_traces(line, LOOKS[line.name], hover=_HOVER)
    heights = np.concatenate([line_heights(line) for line in drawn])
    layout = {"xaxis": titled("cycle"), "yaxis": log_axis("max_lr (log scale)", heights)}
    return Interactive(traces, [Part(layout | {"barmode": "overlay"})])


_BETWEEN = "cycle %{x}: %{base:.3~g} to %{customdata:.3~g}"


def _tried(line: Line, named: str, pick: dict[str, list[str]]) -> list[Part]:
    """The traces of what was tried in a cycle, with a ring around what was chosen."""
    look = {"color": named, "marker": "o"}
    traces = line_traces(line, look, pick=pick, hover="max_lr %{x:.4~g}: %{y:.2f} %")
    chosen = line.told["chosen"] == 1
    rings = {"type": "scatter", "mode": "markers", "x": line.x[chosen], "y": line.y[chosen]}
    ring = {"symbol": "circle-open", "size": 16, "line": {"width": 2.5}, "color": "--ink"}
    return [*traces, Part(rings | {"marker": ring, "hoverinfo": "skip"}, pick)]


def _colours(found: list[Line]) -> Part:
    """Every max_lr tried in every cycle, its colour the accuracy below the cycle's best."""
    marks = {"symbol": "square", "size": 13, "colorscale": "Viridis", "cmin": LEAST, "cmax": 0}
    cycle, max_lr, below = _points(found)
    there = np.isfinite(below)
    below = below[there]
    bar: dict[str, Any] = {"title": {"text": "points below the cycle's best", "side": "top"}}
    bar |= {"orientation": "h", "y": 1.02, "yanchor": "bottom", "thickness": 12}
    content = {
        "type": "scatter",
        "mode": "markers",
        "x": cycle[there],
        "y": max_lr[there],
        "marker": {**marks, "color": below, "colorbar": bar},
        "customdata": below,
        "hovertemplate": "cycle %{x}, max_lr %{y:.4~g}: %{customdata:.2f}<extra></extra>",
    }
    return Part(content, {"cycle": [ALL]})


def _lost(found: list[Line]) -> Part:
    """Crosses at every max_lr that diverged with a seed or more."""
    cycle, max_lr, below = _points(found)
    lost = ~np.isfinite(below)
    marks = {"symbol": "x", "size": 9, "color": colour(style.GREY)}
    content = {"type": "scatter", "mode": "markers", "x": cycle[lost], "y": max_lr[lost]}
    hover = "cycle %{x}, max_lr %{y:.4~g}: diverged<extra></extra>"
    return Part(content | {"marker": marks, "hovertemplate": hover}, {"cycle": [ALL]})


def _points(found: list[Line]) -> list[NDArray[np.float64]]:
    """Cycle, max_lr and accuracy below the cycle's best of all that was tried."""
    cycles = [np.full(len(line.x), line.told["cycle"]) for line in found]
    parts = cycles, [line.x for line in found], [line.told["below_best"] for line in found]
    return [np.concatenate(part).astype(float) for part in parts]


def _choices(search: OracleSearch) -> Part:
    choices = search.choices
    marks = {"size": 8, "color": "white", "line": {"color": "black", "width": 1.2}}
    content = {"type": "scatter", "mode": "markers", "x": choices["cycle"], "y": choices["max_lr"]}
    return Part(content | {"marker": marks, "hoverinfo": "skip"}, {"cycle": [ALL]})


def _interval(search: OracleSearch, cycle: int) -> list[dict[str, Any]]:
    """The shape of a cycle's interval, if it has one."""
    choices = search.choices
    if cycle not in choices["cycle"] or not np.isfinite(choices["low"][cycle]):
        return []
    ends = {"x0": choices["low"][cycle], "x1": choices["high"][cycle]}
    ends |= {"yref": "paper", "y0": 0, "y1": 1}
    fill = {"fillcolor": colour(style.GREY, 0.2), "line": {"width": 0}, "layer": "below"}
    return [{"type": "rect", **ends, **fill}]


def _focus(line: Line) -> dict[str, Any]:
    """The layout that leaves out accuracies far below the best."""
    bottom = style.focus(line.y)
    if bottom is None:
        return {}
    return {"yaxis": {"range": [bottom, min(101.0, float(np.nanmax(line.y)) + 1)]}}


def _cycles(search: OracleSearch, found: list[Line]) -> Control:
    density = dict(
        zip(search.choices["cycle"].tolist(), search.choices["density"].tolist(), strict=True)
    )
    options = [(ALL, "all cycles")]
    for line in found:
        cycle = line.told["cycle"]
        left = density.get(cycle, np.nan)
        shown = f" ({format_percent(left)} %)" if np.isfinite(left) else " (still searched)"
        options.append((str(cycle), f"{cycle}{shown}"))
    return menu("cycle", "cycle (density)", options, options[-1][0])
