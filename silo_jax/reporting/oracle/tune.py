"""The page of two searches that tune the bounds of max_lr."""

from os import PathLike
from pathlib import Path

import numpy as np

from silo_jax.reporting.aggregate import count, format_percent
from silo_jax.reporting.facts import run_facts
from silo_jax.reporting.oracle import interactive, lines, tables, text, tune_figures
from silo_jax.reporting.oracle.earlier import EarlierOracle, read_earlier
from silo_jax.reporting.oracle.numbers import cost
from silo_jax.reporting.oracle.results import OracleSearch, read_oracle
from silo_jax.reporting.page import Picture, Section, Table, write_page
from silo_jax.reporting.style import render_png


def write_tune_report(workdir: str | PathLike[str]) -> Path:
    """Writes figures and report.html of the searches for lower and upper.

    Args:
        workdir: Folder of the searches; see `read_oracle` for the files in it, of which cycle 0 is
            the dense network and cycle 1 the one pruned in one shot. With oracle.json the S-curve
            is set beside an Oracle's choices.

    Returns:
        The path of report.html.

    Raises:
        ValueError: If a result file is missing, empty or malformed.
    """
    search = read_oracle(workdir)
    earlier = _read_earlier(search)
    return write_page(
        search.workdir,
        title=search.title,
        headline=headline(search),
        notes=tune_notes(search),
        sections=_sections(search, earlier),
        facts=run_facts(search.config, search.environment, search.seconds),
        config=search.config,
    )


def earlier_summary(search: OracleSearch) -> str | None:
    """States how far the S-curve between the bounds is from an Oracle's choices.

    Args:
        search: Results of the search for the bounds.

    Returns:
        One sentence; None where the bounds were not set beside an Oracle.

    Raises:
        ValueError: If oracle.json is malformed; one line.
    """
    earlier = _read_earlier(search)
    return None if earlier is None else _distance(earlier)


def headline(search: OracleSearch) -> str:
    """States the bounds that were found.

    Args:
        search: Results to state.

    Returns:
        One sentence; where a network has no choice, that.
    """
    reached = len(search.choices["max_lr"])
    if reached < 2 and search.has_choice.all():
        return f"{reached} of the two searches {'is' if reached == 1 else 'are'} done."
    if reached < 2 or not search.has_choice.all():
        return "The bounds could not be found: every max_lr diverged with one of the networks."
    (lower, upper), low = search.choices["max_lr"], search.choices["low"]
    tolerance = f" Intervals are within {search.tolerance:g} percentage points of the best."
    return (
        f"lower = {lower:.4g} has the highest mean validation accuracy of the dense network, and "
        f"upper = {upper:.4g} that of the network pruned in one shot to "
        f"{format_percent(search.choices['density'][1])} % of its weights, over "
        f"{count(len(search.seeds), 'seed')}.{tolerance if np.isfinite(low).any() else ''}"
    )


def tune_notes(search: OracleSearch) -> list[str]:
    """Lists what a reader should know before using the bounds."""
    found = text.progress_notes(search) + text.choice_notes(search)
    max_lr = search.choices["max_lr"]
    if len(max_lr) == 2 and max_lr[1] < max_lr[0]:
        found.append("upper is below lower: here max_lr falls as the network is pruned.")
    return found


def _sections(search: OracleSearch, earlier: EarlierOracle | None) -> list[Section]:
    max_lr = search.choices["max_lr"]
    shown = []
    if len(max_lr) == 2 and search.has_choice.all():
        shown.append(Section("Bounds to use", table=tables.bounds_table(max_lr[0], max_lr[1])))
    if np.isfinite(search.grid["val_accuracy"]).any():
        spread = ", bands are ± one sample standard deviation" if len(search.seeds) > 1 else ""
        caption = (
            f"Mean validation accuracy by max_lr{spread}; the ring is what was chosen, the shaded "
            "range its interval."
        )
        drawn = render_png(tune_figures.accuracy_by_max_lr, search)
        picture = Picture("accuracy_by_max_lr", drawn, lines.tried_numbers(search))
        changeable = interactive.tuned_accuracy(search)
        shown.append(Section("The two searches", caption, [picture], _table(search), changeable))
    if earlier is not None:
        drawn = render_png(tune_figures.curve_and_oracle, earlier)
        picture = Picture("curve_and_oracle", drawn, lines.curve_numbers(earlier))
        changeable = interactive.curve_and_oracle(earlier)
        title = "The S-curve and the Oracle"
        shown.append(Section(title, _distance(earlier), [picture], interactive=changeable))
    spent = cost(search.grid)
    row = [f"{spent.networks:,}", f"{spent.steps:,.0f}", f"{spent.seconds:,.1f}"]
    return [*shown, Section("Cost", table=Table(["networks", "training steps", "seconds"], [row]))]


def _table(search: OracleSearch) -> Table:
    choices = search.choices
    columns = {
        "network": ["dense", "pruned in one shot"][: len(choices["cycle"])],
        "density %": [tables.shown(d, format_percent(d)) for d in choices["density"]],
        "max_lr": [tables.number(value) for value in choices["max_lr"]],
        "interval": tables.intervals(search),
        "val accuracy %": [tables.shown(v, f"{v:.2f}") for v in choices["val_accuracy"]],
        "values tried": [str(number) for number in choices["num_values"]],
    }
    return Table(list(columns), list(zip(*columns.values(), strict=True)), names=True)


def _read_earlier(search: OracleSearch) -> EarlierOracle | None:
    return read_earlier(search.workdir / "oracle.json")


def _distance(earlier: EarlierOracle) -> str:
    if np.isnan(earlier.factor):
        return "The Oracle has no max_lr to set the S-curve beside: every value diverged."
    return (
        f"The S-curve between the bounds is off the Oracle's max_lr by a factor of "
        f"{earlier.factor:.3g} on average (mean of |log₁₀ ratio|), and lies inside the Oracle "
        f"interval in {text.format_share(earlier.share)}."
    )
