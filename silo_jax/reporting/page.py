"""One self-contained HTML page, and its figures and their numbers as files beside it."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from silo_jax.files import write_atomically
from silo_jax.reporting.interactive import Interactive
from silo_jax.reporting.lines import Numbers
from silo_jax.reporting.writing import write_numbers


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
        wraps: Whether cells are long texts, which take several lines.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str | Strong]]
    names: bool = False
    caption: str = ""
    total: bool = False
    wraps: bool = False


class Picture(NamedTuple):
    """A figure as files: figures/NAME.png, and what it draws as figures/NAME.csv.

    Attributes:
        name: The files' name without its ending.
        png: See `silo_jax.reporting.style.render_png`.
        numbers: All that is drawn, also what the page draws only once it is chosen.
    """

    name: str
    png: bytes
    numbers: Numbers


class Section(NamedTuple):
    """A section of a page: a title, and then figures, a table, or both.

    Attributes:
        title: The section's title.
        caption: What stands below the title; with a figure, also the figure's text in words.
        pictures: The figures as files; on the page where it has nothing to choose.
        table: The table, below the figures.
        interactive: What the page shows in place of the pictures, where scripts are allowed.
    """

    title: str
    caption: str = ""
    pictures: Sequence[Picture] = ()
    table: Table | None = None
    interactive: Interactive | None = None


def write_page(
    folder: Path,
    *,
    title: str,
    headline: str,
    notes: Sequence[str],
    sections: Sequence[Section],
    facts: Mapping[str, str],
    config: Mapping[str, Any],
    config_title: str = "Config",
) -> Path:
    """Writes figures/*.png, figures/*.csv and report.html, each whole or not at all.

    Args:
        folder: Where they go.
        title: The page's title.
        headline: The main result.
        notes: What a reader should know before trusting the numbers.
        sections: In the order in which they are shown.
        facts: What was run, see `silo_jax.reporting.facts`; empty if the sections tell it.
        config: Nested experiment config.
        config_title: What stands above it.

    Returns:
        The path of report.html, a page that needs no other file.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for picture in section.pictures:
            write_atomically(figures / f"{picture.name}.png", picture.png)
            write_numbers(figures / f"{picture.name}.csv", *picture.numbers)
    has_scripts = any(section.interactive is not None for section in sections)
    text = _template().render(
        title=title,
        headline=headline,
        notes=notes,
        sections=sections,
        facts=facts,
        config=list(dotted(config)),
        config_title=config_title,
        scripts=[_plotly(), _text("report.js")] if has_scripts else [],
    )
    page = folder / "report.html"
    write_atomically(page, text)
    return page


def dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Lists the fields of a nested config by their dotted names, with their values as text."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{key}", text


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["base64"] = lambda png: base64.b64encode(png).decode("ascii")
    return environment.from_string(_text("report.html.jinja"))


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _plotly() -> str:
    """The one library of the page, 4.8 MB, from the package that ships it."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text
