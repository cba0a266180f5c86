"""Writes results.md and its figures, from what the studies left in benchmarks/results/studies.

    python -m docs.results_page

The text is that of results.md.jinja; all numbers in it, and the verdicts, are computed here. A test
of the documentation compares the page with what the studies have left.
"""

from collections.abc import Callable
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
    options_tried,
    total,
)
from silo_jax.reporting import style
from silo_jax.reporting.comparison.figures import accuracy_by_density
from silo_jax.reporting.comparison.numbers import CLAIMED
from silo_jax.reporting.oracle.figures import max_lr_by_cycle
from silo_jax.reporting.paired import format_difference

HERE = Path(__file__).parent
PAGE, FIGURES = HERE / "results.md", HERE / "figures/results"
WAYS = {
    "hindsight": "each schedule's best in hindsight,",
    "tuned": "tuned on the dense network,",
}
QUANTITIES = {
    "gradient": "weight gradients",
    "before": "hidden units before activation",
    "after": "hidden units after activation",
}
AS_GOOD = 0.5  # percentage points, the tolerance of the Oracle's intervals


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
        verdict_on_the_oracle=verdict_on_the_oracle(searched),
        verdict_on_widths=verdict_on_widths(measured),
        quantities=QUANTITIES,
        moments=MOMENTS,
        ways=WAYS,
        claimed=CLAIMED,
        time=time,
        options_tried=options_tried,
        beside_renda=beside_renda,
    )


def verdict_on_schedules(chosen_by: dict[str, list[Study]]) -> str:
    """Whether SILO beats the best other schedule by as much as is claimed."""
    told, all_reached = [], []
    for way, studies in chosen_by.items():
        ahead = [study.contest(way).overall for study in studies]
        reached = sum(one.mean >= CLAIMED[0] and one.low > 0 for one in ahead)
        better, worse = sum(one.low > 0 for one in ahead), sum(one.high < 0 for one in ahead)
        all_reached.append(reached / len(ahead))
        told.append(
            f"{WAYS[way]} it is {CLAIMED[0]:g} points or more ahead of the best other schedule in "
            f"{reached} of {len(ahead)} studies, better in {better} and worse in {worse}"
        )
    holds = "Does not hold"
    if any(all_reached):
        holds = "Holds" if min(all_reached) == 1 else "Holds in part"
    return f"**{holds}.** Where max_lr is {'; where it is '.join(told)}."


def verdict_on_the_oracle(studies: list[Study]) -> str:
    """Whether max_lr lies in the Oracle's intervals, and whether that makes it as good."""
    silo, constant = (total(study.inside[i] for study in studies) for i in (0, 1))
    behind = [study.behind_oracle for study in studies]
    as_good = sum(one.low > -AS_GOOD for one in behind)
    cheaper = min(study.times_the_steps for study in studies)
    holds = {len(studies): "Holds", 0: "Does not hold"}.get(as_good, "Holds in part")
    if holds == "Holds" and silo.inside < silo.cycles:
        holds = "Holds as to accuracy, not as to the intervals"
    return (
        f"**{holds}.** SILO's max_lr is inside the Oracle's interval in {silo.inside} of "
        f"{silo.cycles} cycles; the best constant max_lr is in {constant.inside}. In {as_good} of "
        f"{len(studies)} studies SILO is at most {AS_GOOD:g} points behind the Oracle by the whole "
        f"interval. The search costs {cheaper:.2g} times the training steps or more."
    )


def verdict_on_widths(studies: list[Study]) -> str:
    """Whether distributions are narrower in the last cycle than in the dense network."""
    told, all_narrower = [], True
    for quantity, name in (("gradient", "gradients"), ("before", "hidden units")):
        counts = []
        for moment, when in MOMENTS.items():
            narrower = sum(study.widths[quantity, moment][-1] > 1 for study in studies)
            all_narrower &= narrower == len(studies)
            counts.append(f"{when} in {narrower}")
        told.append(f"{name}: {', '.join(counts)} of {len(studies)} studies")
    return (
        f"**{'Holds' if all_narrower else 'Holds in part'}.** Narrower in the last cycle than in "
        f"the dense network are {'; '.join(told)}."
    )


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
                axes.plot(study.densities, study.widths[quantity, moment], **look)
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
