"""Figures that a reader can change on the page, described as data that report.js draws.

A figure is a list of traces of plotly.js. Some are shown whatever is chosen; the others name the
options of controls with which they are shown. So a choice never computes anything, and what a page
can show is all in its data.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from silo_jax.reporting import style
from silo_jax.reporting.lines import Line

ALL = "all"

# Colours are the page's, which has others in the dark; a share behind the name makes them faint.
_COLOURS = {
    style.BLACK: "--ink",
    style.GREY: "--soft",
    style.BLUE: "--blue",
    style.SKY: "--sky",
    style.GREEN: "--green",
    style.ORANGE: "--orange",
    style.VERMILION: "--vermilion",
    style.PURPLE: "--purple",
}
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down"}
_SYMBOLS |= {"D": "diamond", "P": "cross", "X": "x", "<": "triangle-left", ".": "circle"}
_DIGITS = 7

Pick = Mapping[str, Sequence[str]]


class Option(NamedTuple):
    """One choice of a control.

    Attributes:
        value: What picks call it.
        label: What is shown.
        group: Under which a menu shows it.
        colour: Of its line, as CSS has it; "" for none.
    """

    value: str
    label: str
    group: str = ""
    colour: str = ""


class Control(NamedTuple):
    """Something to choose: one of the options in a menu, or several in a row of boxes.

    With a single option it is not shown, and all picks of it hold.

    Attributes:
        name: By which picks call it.
        label: What stands beside it.
        options: In order.
        chosen: Values that are chosen first.
        several: Whether any number of options can be chosen.
    """

    name: str
    label: str
    options: Sequence[Option]
    chosen: Sequence[str]
    several: bool = False

    @property
    def groups(self) -> dict[str, list[Option]]:
        """The options by the group under which a menu shows them; "" for none."""
        found: dict[str, list[Option]] = {}
        for option in self.options:
            found.setdefault(option.group, []).append(option)
        return found


class Part(NamedTuple):
    """A trace, or a part of the layout, and with which options it is shown.

    Attributes:
        content: As plotly.js has it.
        pick: By control, the options of which one has to be chosen; of the others any may be.
    """

    content: Mapping[str, Any]
    pick: Pick = {}  # noqa: RUF012 - a NamedTuple's, never written to


class Interactive(NamedTuple):
    """A figure with controls.

    Attributes:
        traces: In the order of drawing.
        layouts: Merged in order; their shapes add up.
        controls: In the order in which they are shown.
    """

    traces: Sequence[Part]
    layouts: Sequence[Part]
    controls: Sequence[Control] = ()

    @property
    def json(self) -> str:
        """The figure for report.js, safe within a script element."""
        content = {
            "traces": [_plain(part._asdict()) for part in self.traces],
            "layouts": [_plain(part._asdict()) for part in self.layouts],
        }
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")


def menu(
    name: str,
    label: str,
    options: Sequence[tuple[str, str]],
    chosen: str | None = None,
) -> Control:
    """Makes a menu of one choice, of values and what is shown for them.

    Args:
        name: By which picks call it.
        label: What stands beside it.
        options: Pairs of value and label.
        chosen: The first choice; without it that of the first option.
    """
    made = [Option(value, shown) for value, shown in options]
    return Control(name, label, made, [made[0].value if chosen is None else chosen])


def boxes(name: str, label: str, looks: Mapping[str, Mapping[str, Any]]) -> Control:
    """Makes a row of boxes, all ticked, of lines by name, each with its line's colour."""
    made = [Option(one, one, colour=f"var({colour(look['color'])})") for one, look in looks.items()]
    return Control(name, label, made, [one.value for one in made], several=True)


def colour(named: str, share: float = 1.0) -> str:
    """Names a colour of the figures as one of the page, fainter by a share."""
    name = _COLOURS[named]
    return name if share == 1 else f"{name}/{share:g}"


def line_traces(
    line: Line,
    look: Mapping[str, Any],
    *,
    pick: Pick | None = None,
    hover: str = "",
    shade: float = 0.18,
    **more: Any,
) -> list[Part]:
    """Makes the traces of a line and its band.

    Args:
        line: What.
        look: As matplotlib has it: color, and perhaps marker, linestyle and linewidth.
        pick: With which options it is shown.
        hover: What is told of a point, as a template of plotly.js; by default its y.
        shade: How strong the band is.
        **more: Fields of both traces, such as the axes.
    """
    told = more.pop("text", None)
    shared = {"type": "scatter", "x": line.x, "legendgroup": line.name, **more}
    main = {
        **shared,
        "name": line.name,
        "y": line.y,
        "mode": "lines+markers" if look.get("marker") else "lines",
        "line": {
            "color": colour(look["color"]),
            "width": look.get("linewidth", 1.6) + 0.4,
            "dash": _DASHES[look.get("linestyle", "-")],
        },
        "marker": {"symbol": _SYMBOLS.get(look.get("marker", ""), "circle"), "size": 7},
        "hovertemplate": f"{hover or '%{y:.4~g}'}<extra>{_escaped(line.name)}</extra>",
    }
    if told is not None:
        main["text"] = told
    parts = [Part(main, pick or {})]
    if line.low is None or line.high is None or not np.isfinite(line.low).any():
        return parts
    there = np.isfinite(line.low) & np.isfinite(line.high)
    outline = {
        **shared,
        "x": np.concatenate([line.x[there], line.x[there][::-1]]),
        "y": np.concatenate([line.high[there], line.low[there][::-1]]),
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": colour(look["color"], shade),
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [Part(outline, pick or {}), *parts]


def point_trace(
    name: str,
    place: Any,
    mean: float,
    half: float,
    look: Mapping[str, Any],
    *,
    pick: Pick,
    hover: str,
) -> Part:
    """Makes the trace of a single point with an error bar."""
    content = {
        "type": "scatter",
        "name": name,
        "x": [place],
        "y": [mean],
        "mode": "markers",
        "marker": {
            "color": colour(look["color"]),
            "symbol": _SYMBOLS.get(look.get("marker", ""), "circle"),
            "size": 11,
        },
        "showlegend": False,
        "hovertemplate": f"{hover}<extra>{_escaped(name)}</extra>",
    }
    if math.isfinite(half):
        content["error_y"] = {"type": "data", "array": [half], "color": colour(look["color"])}
    return Part(content, pick)


def density_ticks(density: NDArray[np.float64]) -> dict[str, Any]:
    """The layout of an x axis of density, densest on the left, as `style.density_axis` has it."""
    ticks = style.spaced(density, 0.13)
    reach = np.log10([density.max() * 1.12, density.min() / 1.12])
    return {
        "type": "log",
        "range": reach,
        "tickvals": ticks,
        "ticktext": [f"{100 * tick:.3g}" for tick in ticks],
        "title": {"text": "density, % (log scale)"},
    }


def log_axis(text: str, values: ArrayLike) -> dict[str, Any]:
    """The layout of a log axis with plain numbers, as `style.max_lr_axis` has it.

    Args:
        text: Its title.
        values: What is drawn along it; what is not finite, or not above 0, does not count.
    """
    low, high = style.positive_ends(values)
    margin = np.log10(max(1.05, (high / low) ** 0.05))
    ticks = style.plain_ticks(low, high)
    return titled(
        text,
        type="log",
        range=[np.log10(low) - margin, np.log10(high) + margin],
        tickvals=ticks,
        ticktext=[f"{tick:g}" for tick in ticks],
    )


def titled(text: str, **more: Any) -> dict[str, Any]:
    """The layout of an axis with a title."""
    return {"title": {"text": text}, **more}


def _escaped(name: str) -> str:
    """A name without what plotly.js takes for tags or templates."""
    return name.replace("<", "‹").replace(">", "›").replace("%{", "% {")


def _plain(value: Any) -> Any:
    """What JSON can hold: lists for arrays, numbers rounded, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
