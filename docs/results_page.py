"""Writes results.md and its figures, from what the studies left in benchmarks/results/studies.

    python -m docs.results_page

The text is that of results.md.jinja; all numbers in it, and the verdicts, are computed here. A test
of the documentation compares the page with what the studies have left.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from docs.results_numbers import (
    MOMENTS,
    Study,
    all_studies,
    beside_renda,
    total,
)
from docs.results_why import on_raising, options_tried, raised
from silo_jax.reporting import style
from silo_jax.reporting.comparison.figures import accuracy_by_density
from silo_jax.reporting.comparison.numbers import CLAIMED
from silo_jax.reporting.oracle.figures import max_lr_by_cycle
from silo_jax.reporting.paired import format_difference

HERE = Path(__file__).parent
PAGE, FIGURES = HERE / "results.md", HERE / "figures/results"
WAYS = {"hindsight": "chosen in hindsight", "tuned": "tuned on the dense network"}
QUANTITIES = {
    "gradient": "weight gradients",
    "before": "hidden units before activation",
    "after": "hidden units after activation",
}


def page(studies: list[Study]) -> str:
    """The text of results.md."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    compared = [study for study in studies if study.has("compare")]
    chosen_by = {way: [s for s in compared if way in s.comparison.ways] for way in WAYS}
    searched = [study for study in studies if study.has("oracle")]
    measured = [study for study in studies if study.has("premise")]
    return environment.get_template("results.md.jinja").render(
        studies=studies,
        compared=compared,
        chosen_by=chosen_by,
        searched=searched,
        measured=measured,
        schedules=sorted({name for study in compared for name in study.comparison.options}),
        difference=format_difference,
        verdict_on_schedules=verdict_on_schedules(chosen_by),
        verdict_on_intervals=verdict_on_intervals(searched),
        verdict_on_the_oracle=verdict_on_the_oracle(searched),
        verdict_on_widths=verdict_on_widths(measured),
        quantities=QUANTITIES,
        moments=MOMENTS,
        ways=WAYS,
        claimed=CLAIMED,
        time=time,
        options_tried=options_tried,
        held=[study for study in compared if "warmup" in study.comparison.options],
        on_raising=on_raising,
        raised=raised,
        beside_renda=beside_renda,
    )


def verdict_on_schedules(chosen_by: dict[str, list[Study]]) -> str:
    """Whether SILO beats the best other schedule by as much as is claimed, in hindsight."""
    told, labels = [], {}
    for way, studies in chosen_by.items():
        ahead = [one.contest(way).overall for one in studies if len(one.comparison.options) > 2]
        if not ahead:
            continue
        reached = sum(one.mean >= CLAIMED[0] and one.low > 0 for one in ahead)
        ruled_out = sum(one.high < CLAIMED[0] for one in ahead)
        better, worse = sum(one.low > 0 for one in ahead), sum(one.high < 0 for one in ahead)
        labels[way] = _label(reached, ruled_out, len(ahead))
        told.append(
            f"With each schedule's max_lr {WAYS[way]} SILO is ahead of the best other schedule by "
            f"{CLAIMED[0]:g} points or more in {reached} of {_studies(ahead)}, and "
            f"in {ruled_out} the 95 % interval rules that out; SILO is better (by any amount) in "
            f"{better}, worse in {worse}."
        )
    label = labels.get("hindsight") or labels["tuned"]
    return f"**{label}.** {' '.join(told)}"


def verdict_on_intervals(studies: list[Study]) -> str:
    """Whether SILO's max_lr lies in the Oracle's intervals, more often than a constant does."""
    silo, constant = (total(study.inside[i] for study in studies) for i in (0, 1))
    label = "Holds in part" if silo.inside >= constant.inside else "Does not hold"
    if silo.inside == silo.cycles:
        label = "Holds"
    return (
        f"**{label}.** SILO's max_lr is inside in {silo.inside} of {silo.cycles} cycles, the best "
        f"constant max_lr in {constant.inside}."
    )


def verdict_on_the_oracle(studies: list[Study]) -> str:
    """Whether SILO is as good as the Oracle, to within the tolerance of its intervals."""
    behind = [(study.behind_oracle, study.oracle.tolerance) for study in studies]
    as_good = sum(one.low > -tolerance for one, tolerance in behind)
    worse = sum(one.high < -tolerance for one, tolerance in behind)
    alone, tuned = (min(study.times_the_steps[i] for study in studies) for i in (0, 1))
    return (
        f"**{_label(as_good, worse, len(studies))}.** The 95 % interval of SILO − Oracle lies "
        f"above −{behind[0][1]:g} points in {as_good} of {_studies(studies)}, below it in {worse}. "
        f"The Oracle takes {alone:.2g} times SILO's training steps or more; {tuned:.2g} times when "
        "the search for SILO's bounds is counted, too."
    )


def verdict_on_widths(studies: list[Study]) -> str:
    """Whether distributions are narrower in the last cycle than in the dense network."""
    told, narrower, wider = [], 0, 0
    for quantity, name in (("gradient", "Gradients"), ("before", "hidden units")):
        counts = []
        for moment, when in MOMENTS.items():
            last = [study.widths[quantity, moment][:, -1] for study in studies]
            counts.append(f"{when} in {sum(bool((one > 1).all()) for one in last)}")
            narrower += sum(bool((one > 1).all()) for one in last)
            wider += sum(bool((one < 1).all()) for one in last)
        told.append(
            f"{name} are narrower in the last cycle than in the dense network, with every "
            f"seed, {', '.join(counts)} of {_studies(studies)}"
        )
    label = _label(narrower, wider, 2 * len(MOMENTS) * len(studies))
    return f"**{label}.** {'; '.join(told)}."


def _studies(studies: Sequence[object]) -> str:
    return "1 study" if len(studies) == 1 else f"{len(studies)} studies"


def _label(holds: int, fails: int, number: int) -> str:
    if holds == number:
        return "Holds"
    if holds:
        return "Holds in part"
    return "Does not hold" if fails == number else "Not shown"


def time(seconds: float) -> str:
    """In seconds or minutes, or "–"."""
    if not np.isfinite(seconds):
        return "–"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def narrowing(studies: list[Study]) -> Figure:
    """How many times narrower than in the dense network, by density: a row a quantity."""
    figure = Figure(figsize=(10, 3 * len(QUANTITIES) + 1))
    grid = figure.subplots(len(QUANTITIES), len(MOMENTS), sharex=True, sharey="row", squeeze=False)
    looks = style.looks_of([study.title for study in studies])
    densities = np.unique(np.concatenate([study.densities for study in studies]))
    for row, (quantity, name) in zip(grid, QUANTITIES.items(), strict=True):
        for axes, (moment, when) in zip(row, MOMENTS.items(), strict=True):
            axes.axhline(1, color=style.GREY, linewidth=1)
            for study in studies:
                look = looks[study.title] | {"markersize": 4, "label": study.title}
                axes.plot(study.densities, study.narrowing(quantity, moment), **look)
            style.density_axis(axes, densities, room=0.15)
            axes.set_xlabel("density, %" if name == [*QUANTITIES.values()][-1] else "")
            axes.set_title(f"{name}\n{when}", loc="left", fontsize=10)
        style.factor_axis(row[0])
    figure.supylabel("times narrower than in the dense network (log scale)", fontsize=11)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", fontsize=9)
    return figure


def figures(studies: list[Study]) -> dict[str, Callable[[], Figure]]:
    """What draws each figure, by the name of its file."""
    found: dict[str, Callable[[], Figure]] = {}
    for study in studies:
        if study.has("compare"):
            found[f"accuracy_{study.folder.name}"] = partial(accuracy_by_density, study.comparison)
        if study.has("oracle"):
            found[f"oracle_{study.folder.name}"] = partial(max_lr_by_cycle, study.oracle)
    measured = [study for study in studies if study.has("premise")]
    return found | {"narrowing": partial(narrowing, measured)}


def main() -> None:
    studies = all_studies()
    PAGE.write_text(page(studies))
    FIGURES.mkdir(exist_ok=True)
    for name, draw in figures(studies).items():
        (FIGURES / f"{name}.png").write_bytes(style.render_png(draw))


if __name__ == "__main__":
    main()
