"""Writes the table of results.md, from what the studies left in benchmarks/results/studies.

    python -m docs.results_page

The test of the documentation compares the two.
"""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

from silo_jax.reporting.comparison import read_comparison
from silo_jax.reporting.comparison.numbers import OWN, contest, scores, way_that_counts
from silo_jax.reporting.oracle import read_oracle
from silo_jax.reporting.oracle.numbers import (
    accuracy_differences,
    best_constant,
    cost,
    share_inside,
    silo_and_intervals,
)
from silo_jax.reporting.paired import format_difference

PAGE = Path(__file__).with_name("results.md")
STUDIES = Path(__file__).parents[1] / "benchmarks/results/studies"
SETS = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
MOMENTS = ("initialisation", "warmed_up", "end")


def best_rival(folder: Path) -> str:
    comparison = read_comparison(folder / "compare")
    found = scores(comparison, way_that_counts(comparison))
    best = contest(found, comparison.reference, OWN)
    return f"{format_difference(best.overall)}, {best.rival.replace('_', '-')}"


def inside(folder: Path) -> str:
    silo, low, high = silo_and_intervals(read_oracle(folder / "oracle"))
    ours, constant = share_inside(silo, low, high), best_constant(low, high).share
    return f"{ours.inside} and {constant.inside} of {ours.cycles} cycles"


def against_the_oracle(folder: Path) -> str:
    return format_difference(accuracy_differences(read_oracle(folder / "oracle"))[1])


def times_the_steps(folder: Path) -> str:
    search = read_oracle(folder / "oracle")
    return f"{cost(search.grid).steps / cost(search.silo).steps:.2g} times"


def narrowing(folder: Path, quantity: str) -> str:
    """First width over last width, the mean over seeds, at each moment of a cycle."""
    with (folder / "premise/widths.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["layer"] == "network"]
    widths = defaultdict(dict)
    for row in rows:
        if row["quantity"] == quantity:
            widths[row["moment"], row["seed"]][int(row["cycle"])] = float(row["std"])
    return ", ".join(f"{_mean_factor(widths, moment):.2g}" for moment in MOMENTS)


def _mean_factor(widths, moment: str) -> float:
    seeds = [by_cycle for (when, _), by_cycle in widths.items() if when == moment]
    return mean(by_cycle[min(by_cycle)] / by_cycle[max(by_cycle)] for by_cycle in seeds)


def protocol(folder: Path) -> str:
    search = read_oracle(folder / "oracle")
    network = search.config["model"]["name"].replace("_", "-")
    epochs = search.config["training"]["epochs_per_cycle"]
    density = 100 * search.choices["density"][-1]
    return f"{network}, {search.num_cycles} cycles of {epochs} epochs, {density:.2g} %"


ROWS = {
    "network, cycles, density of the last one": protocol,
    "1. SILO − the best other schedule": best_rival,
    "2. max_lr inside the Oracle interval: SILO, the best constant": inside,
    "3. SILO − Oracle": against_the_oracle,
    "4. training steps of the Oracle over those of SILO": times_the_steps,
    "5. width of gradients, dense over last cycle": lambda folder: narrowing(folder, "gradient"),
    "6. width before activation, dense over last cycle": lambda folder: narrowing(folder, "before"),
    "7. width after activation, dense over last cycle": lambda folder: narrowing(folder, "after"),
}


def table() -> str:
    """The rows above, with a column a data set."""
    lines = ["| | " + " | ".join(SETS.values()) + " |", "|---" * (len(SETS) + 1) + "|"]
    for name, cell in ROWS.items():
        lines.append(f"| {name} | " + " | ".join(cell(STUDIES / s) for s in SETS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    before, start, old = PAGE.read_text().partition("| | digits")
    after = old.partition("\n\n")[2]
    PAGE.write_text(f"{before}{table()}\n\n{after}")
