"""One self-contained HTML page, and its figures as files beside it."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from silo_jax.files import write_atomically


class Strong(NamedTuple):
    """A table's cell in bold."""

    text: str


class Table(NamedTuple):
    """A table of a page.

    Attributes:
        heads: The columns' heads.
        rows: The cells of each row, one a column.
        names: Whether the first column is text, on the left.
        caption: What stands above the table.
        total: Whether the last row is the total of those above.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str | Strong]]
    names: bool = False
    caption: str = ""
    total: bool = False


class Section(NamedTuple):
    """A section of a page: a title, and then a figure, a table, or both.

    Attributes:
        title: The section's title.
        caption: What stands below the title; with a figure, also the figure's text in words.
        png: The figure, see `silo_jax.reporting.style.render_png`.
        table: The table, below the figure.
        figure: Name of the figure's file without ".png".
    """

    title: str
    caption: str = ""
    png: bytes | None = None
    table: Table | None = None
    figure: str = ""


def write_page(
    folder: Path,
    *,
    title: str,
    headline: str,
    notes: Sequence[str],
    sections: Sequence[Section],
    config: Mapping[str, Any],
    environment: Mapping[str, str],
) -> Path:
    """Writes figures/*.png and report.html, each whole or not at all.

    Args:
        folder: Where they go.
        title: The page's title.
        headline: The main result.
        notes: What a reader should know before trusting the numbers.
        sections: In the order in which they are shown.
        config: Nested experiment config.
        environment: Flat facts about software and hardware.

    Returns:
        The path of report.html, a page that needs no other file.
    """
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    for section in sections:
        if section.png is not None:
            write_atomically(figures / f"{section.figure}.png", section.png)
    text = _template().render(
        title=title,
        headline=headline,
        notes=notes,
        sections=sections,
        config=list(_dotted(config)),
        environment=environment,
    )
    page = folder / "report.html"
    write_atomically(page, text)
    return page


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["base64"] = lambda png: base64.b64encode(png).decode("ascii")
    text = resources.files(__package__).joinpath("report.html.jinja").read_text("utf-8")
    return environment.from_string(text)


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{key}", text
