from collections.abc import Callable
from functools import partial
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from docs.results_page import oracle, premise, raising, schedules
from docs.results_page.compared import WAYS, Compared
from docs.results_page.studies import Study, all_studies
from docs.results_page.tried import options_tried
from silo_jax.reporting import style
from silo_jax.reporting.comparison.figures import accuracy_by_density, differences_by_density
from silo_jax.reporting.oracle.figures import max_lr_by_cycle
from silo_jax.reporting.paired import format_difference

HERE = Path(__file__).parent
PAGE, FIGURES = HERE.parent / "results.md", HERE.parent / "figures/results"


def page(studies: list[Study]) -> str:
    """The text of results.md."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    compared = [Compared(study) for study in studies if study.has("compare")]
    tuned = [study for study in studies if study.has("tune")]
    return environment.get_template("page.md.jinja").render(
        studies=studies,
        compared=compared,
        chosen_by={way: [one for one in compared if way in one.comparison.ways] for way in WAYS},
        searched=[oracle.Searched(study) for study in studies if study.has("oracle")],
        measured=premise.all_measured(studies),
        tuned=tuned,
        at_edge=[study for study in tuned if oracle.bounds_at_edge(study)],
        held=[one for one in compared if "warmup" in one.rivals],
        names=sorted({name for one in compared for name in one.comparison.options}),
        difference=format_difference,
        time=time,
        ways=WAYS,
        options_tried=options_tried,
        schedules=schedules,
        raising=raising,
        oracle=oracle,
        premise=premise,
    )


def time(seconds: float) -> str:
    """In seconds or minutes, or "–"."""
    if not np.isfinite(seconds):
        return "–"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def figures(studies: list[Study]) -> dict[str, Callable[[], Figure]]:
    """What draws each figure, by the name of its file."""
    found: dict[str, Callable[[], Figure]] = {}
    for study in studies:
        name = study.folder.name
        if study.has("compare"):
            found[f"accuracy_{name}"] = partial(accuracy_by_density, study.comparison)
            found[f"differences_{name}"] = partial(differences_by_density, study.comparison)
        if study.has("oracle"):
            found[f"oracle_{name}"] = partial(max_lr_by_cycle, study.oracle)
    return found | {"narrowing": partial(premise.narrowing, premise.all_measured(studies))}


def main() -> None:
    studies = all_studies()
    PAGE.write_text(page(studies))
    FIGURES.mkdir(exist_ok=True)
    for name, draw in figures(studies).items():
        (FIGURES / f"{name}.png").write_bytes(style.render_png(draw))


if __name__ == "__main__":
    main()
