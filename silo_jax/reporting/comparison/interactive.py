"""The figures of a comparison that a reader can change."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from silo_jax.reporting import style
from silo_jax.reporting.aggregate import format_percent
from silo_jax.reporting.comparison import lines
from silo_jax.reporting.comparison.figures import WAY_TITLES, option_styles
from silo_jax.reporting.comparison.numbers import CLAIMED, contest, scores, way_that_counts
from silo_jax.reporting.comparison.results import Comparison
from silo_jax.reporting.interactive import (
    ALL,
    Control,
    Interactive,
    Part,
    boxes,
    colour,
    density_ticks,
    line_traces,
    log_axis,
    menu,
    point_trace,
    titled,
)
from silo_jax.reporting.lines import Line


def accuracy_by_density(comparison: Comparison) -> Interactive:
    """Test accuracy of the schedules picked: over all densities, or at one."""
    styles = option_styles(comparison)
    traces = []
    for way in comparison.ways:
        for line in _ours_last(comparison, lines.accuracy_lines(comparison, way)):
            look, is_ours = styles[line.name], line.name == comparison.reference
            own = {"way": [way], "option": [line.name]}
            traces += line_traces(
                line,
                look,
                pick=own | {"density": [ALL]},
                hover="density %{x:.3~%}: %{y:.2f} %",
                shade=0.2 if is_ours else 0.1,
            )
            points = zip(line.y, line.told["seeds"], line.y - _low(line), strict=True)
            for cycle, (mean, seeds, half) in enumerate(points):
                if seeds:
                    told = f"%{{y:.2f}} % ({seeds} of {len(comparison.seeds)} seeds)"
                    at = own | {"density": [str(cycle)]}
                    traces.append(
                        point_trace(line.name, line.name, mean, half, look, pick=at, hover=told)
                    )
    names = {"type": "category", "categoryarray": list(comparison.options), "tickangle": "auto"}
    return Interactive(
        traces,
        [
            Part({"yaxis": titled("test accuracy, %"), "showlegend": False}),
            Part({"xaxis": density_ticks(comparison.density)}, {"density": [ALL]}),
            Part({"xaxis": names}, {"density": [str(m) for m in range(comparison.cycles_done)]}),
        ],
        [*_ways(comparison), _densities(comparison, [(ALL, "all densities")]), _boxes(comparison)],
    )


def differences_by_density(comparison: Comparison) -> Interactive:
    """Reference − the other that is picked in test accuracy against density."""
    styles, others = option_styles(comparison), lines.difference_lines(comparison)
    found = scores(comparison, way_that_counts(comparison))
    met = contest(found, comparison.reference, comparison.apart)
    traces = [
        part
        for line in others
        for part in line_traces(
            line,
            styles[line.name],
            pick={"option": [line.name]},
            hover="density %{x:.3~%}: %{y:+.2f} points",
        )
    ]
    claimed = [line.name for line in others if comparison.is_claimed(line.name)]
    layout = {
        "xaxis": density_ticks(comparison.density),
        "yaxis": titled(f"{comparison.reference} − other, points"),
        "shapes": [_across(0.0, 0.0, line={"color": "--soft", "width": 1})],
        "showlegend": False,
    }
    faint: dict[str, Any] = {"fillcolor": colour(style.GREEN, 0.15), "line": {"width": 0}}
    chosen = met.rival if met is not None else others[0].name
    return Interactive(
        traces,
        [
            Part(layout),
            Part({"shapes": [_across(*CLAIMED, **faint)]}, {"option": claimed}),
        ],
        [menu("option", "other", [(line.name, line.name) for line in others], chosen)],
    )


def max_lr_by_cycle(comparison: Comparison) -> Interactive:
    """max_lr over the cycles of the options picked."""
    styles = option_styles(comparison)
    traces = [
        part
        for way in comparison.ways
        for line in _ours_last(comparison, lines.max_lr_lines(comparison, way))
        for part in line_traces(
            line,
            styles[line.name],
            pick={"way": [way], "option": [line.name]},
            hover="cycle %{x}: %{y:.4~g}",
        )
    ]
    heights = [scores(comparison, way).cycle_max_lr for way in comparison.ways]
    layout = {"xaxis": titled("cycle"), "yaxis": log_axis("max_lr (log scale)", heights)}
    return Interactive(
        traces,
        [Part(layout | {"showlegend": False})],
        [*_ways(comparison), _boxes(comparison)],
    )


def accuracy_by_max_lr(comparison: Comparison) -> Interactive:
    """Validation accuracy against max_lr, over all cycles or at the density picked."""
    styles, found = option_styles(comparison), lines.choice_lines(comparison)
    traces = []
    for line in _ours_last(comparison, found):
        pick = {"option": [line.name], "density": [str(line.told["cycle"])]}
        look = styles[line.name]
        traces += line_traces(line, look, pick=pick, hover="max_lr %{x:.4~g}: %{y:.2f} %")
        chosen = line.told["chosen"] == 1
        if not chosen.any():
            continue
        ring = {"size": 15, "symbol": "circle-open", "line": {"width": 2}}
        rings = {"type": "scatter", "mode": "markers", "x": line.x[chosen], "y": line.y[chosen]}
        rings |= {"marker": ring | {"color": colour(look["color"])}, "hoverinfo": "skip"}
        traces.append(Part(rings, pick))
    layouts = [
        Part(
            {
                "xaxis": log_axis("dense network's max_lr (log scale)", comparison.max_lrs),
                "yaxis": titled("validation accuracy, %"),
                "showlegend": False,
            }
        )
    ]
    for cycle in (lines.EVERY, *range(comparison.cycles_done)):
        heights = np.concatenate([[], *(line.y for line in lines.of_cycle(found, cycle))])
        bottom = style.focus(heights)
        if bottom is not None:
            top = min(101.0, float(heights.max()) + 1)
            layouts.append(Part({"yaxis": {"range": [bottom, top]}}, {"density": [str(cycle)]}))
    first = [(lines.EVERY, "mean over all cycles")]
    return Interactive(traces, layouts, [_densities(comparison, first), _boxes(comparison)])


FIGURES: dict[str, Callable[[Comparison], Interactive]] = {
    "accuracy_by_density": accuracy_by_density,
    "differences_by_density": differences_by_density,
    "max_lr_by_cycle": max_lr_by_cycle,
    "accuracy_by_max_lr": accuracy_by_max_lr,
}


def _ways(comparison: Comparison) -> list[Control]:
    """A menu of how max_lr was chosen, that which counts first."""
    named = WAY_TITLES if comparison.along_schedules else {}
    ways = [(way, named.get(way, "as configured")) for way in reversed(comparison.ways)]
    return [menu("way", "choice of max_lr", ways)]


def _densities(comparison: Comparison, first: list[tuple[str, str]]) -> Control:
    cycles = [
        (str(cycle), f"{format_percent(density)} % (cycle {cycle})")
        for cycle, density in enumerate(comparison.density)
    ]
    return menu("density", "density", [*first, *cycles])


def _boxes(comparison: Comparison) -> Control:
    label = "schedules" if comparison.along_schedules else comparison.along
    looks = option_styles(comparison)
    return boxes("option", label, {name: looks[name] for name in comparison.options})


def _ours_last(comparison: Comparison, drawn: Sequence[Line]) -> list[Line]:
    """The lines with the reference's on top of the others."""
    return sorted(drawn, key=lambda line: line.name == comparison.reference)


def _low(line: Line) -> Any:
    return np.full(len(line.y), np.nan) if line.low is None else line.low


def _across(low: float, high: float, **look: Any) -> dict[str, Any]:
    """A shape from the left to the right."""
    kind = "line" if low == high else "rect"
    ends = {"xref": "paper", "x0": 0, "x1": 1, "y0": low, "y1": high, "layer": "below"}
    return {"type": kind, **ends, **look}
