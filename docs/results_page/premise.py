"""The third claim: as a network is pruned, its gradients and representations grow narrower."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from statistics import mean

import numpy as np
from matplotlib.figure import Figure

from docs.results_page.studies import Study, number_of
from silo_jax.reporting import style

TRAINED = {"premise_held": "max_lr held", "premise": "SILO's max_lr"}
QUANTITIES = {
    "gradient": "weight gradients",
    "before": "hidden units before activation",
    "after": "hidden units after activation",
}
MOMENTS = {
    "initialisation": "at a cycle's start",
    "warmed_up": "after its warm-up",
    "end": "at its end",
}
NETWORK = "network"


class Measured:
    """How many times narrower distributions were in each cycle than in the dense network.

    Attributes:
      trained: with which max_lr the networks were, a key of TRAINED.
      factors: by quantity, moment and layer, shape (seeds, cycles): the first cycle's standard
        deviation over each one's. "network" stands for all layers together.
    """

    def __init__(self, study: Study, trained: str) -> None:
        self.title, self.trained, self._study = study.title, trained, study

    @cached_property
    def factors(self) -> dict[tuple[str, str, str], np.ndarray]:
        widths: dict[tuple[str, str, str, str], dict[int, float]] = defaultdict(dict)
        for row in self._study.rows(f"{self.trained}/widths.csv"):
            key = row["quantity"], row["moment"], row["layer"], row["seed"]
            widths[key][int(row["cycle"])] = float(row["std"])
        found = defaultdict(list)
        for (*key, _), by_cycle in widths.items():
            ordered = np.array([by_cycle[cycle] for cycle in sorted(by_cycle)])
            found[tuple(key)].append(ordered[0] / ordered)
        return {key: np.array(one) for key, one in found.items()}

    def last(self, quantity: str, moment: str) -> float:
        """In the last cycle, over the whole network; the mean of the seeds."""
        return self.factors[quantity, moment, NETWORK][:, -1].mean()

    def by_layer(self, quantity: str, moment: str) -> list[float]:
        """In the last cycle, layer by layer."""
        return [
            factors[:, -1].mean()
            for key, factors in self.factors.items()
            if key[:2] == (quantity, moment) and key[2] != NETWORK
        ]

    @property
    def moments_of_pruning(self) -> list[str]:
        """Those at which a network differs from the dense one by what was pruned.

        Where weights are kept, a later cycle starts from a trained network, and the first did not.
        """
        return [*MOMENTS] if self._study.rewinds_weights else [*MOMENTS][1:]

    @property
    def densities(self) -> np.ndarray:
        """Of the cycles measured, the mean over seeds."""
        by_cycle = defaultdict(list)
        for row in self._study.rows(f"{self.trained}/cycles.csv"):
            by_cycle[int(row["cycle"])].append(float(row["density"]))
        return np.array([mean(by_cycle[cycle]) for cycle in sorted(by_cycle)])


def all_measured(studies: Sequence[Study]) -> list[Measured]:
    """Of every study first that with max_lr held."""
    return [Measured(study, kind) for study in studies for kind in TRAINED if study.has(kind)]


def verdict_on_widths(measured: Sequence[Measured]) -> str:
    """Of which quantities distributions are narrower in the last cycle, with max_lr held."""
    held = [one for one in measured if one.trained == "premise_held"]
    told = [
        f"{name.capitalize()}: {_verdict_on(quantity, held)}"
        for quantity, name in QUANTITIES.items()
        if quantity != "after"
    ]
    return "\n   - ".join(
        [
            "With max_lr held from cycle to cycle, the last cycle beside the dense network, where "
            "every seed agrees:",
            *told,
        ]
    )


def _verdict_on(quantity: str, held: Sequence[Measured]) -> str:
    told, every = [], []
    for moment, when in MOMENTS.items():
        those = [one for one in held if moment in one.moments_of_pruning]
        last = [one.factors[quantity, moment, NETWORK][:, -1] for one in those]
        narrower = sum(bool((one > 1).all()) for one in last)
        wider = sum(bool((one < 1).all()) for one in last)
        told.append(
            f"{when} narrower in {narrower} and wider in {wider} of {number_of(len(those))}"
        )
        every.append((narrower, wider, len(those)))
    narrower, wider, number = map(sum, zip(*every, strict=True))
    found = f"Narrower in {narrower} and wider in {wider} of {number} cases"
    if number in (narrower, wider):
        found = "Holds here" if narrower else "Does not hold here"
    return f"**{found}**; {', '.join(told)}."


def narrowing(measured: Sequence[Measured]) -> Figure:
    """How many times narrower than in the dense network, by density: a row a quantity."""
    held = [one for one in measured if one.trained == "premise_held"]
    figure = Figure(figsize=(10, 3 * len(QUANTITIES) + 1))
    grid = figure.subplots(len(QUANTITIES), len(MOMENTS), sharex=True, sharey="row", squeeze=False)
    looks = style.looks_of([one.title for one in held])
    densities = np.unique(np.concatenate([one.densities for one in held]))
    for row, (quantity, name) in zip(grid, QUANTITIES.items(), strict=True):
        for axes, (moment, when) in zip(row, MOMENTS.items(), strict=True):
            axes.axhline(1, color=style.GREY, linewidth=1)
            for one in held:
                look = looks[one.title] | {"markersize": 4, "label": one.title}
                factors = one.factors[quantity, moment, NETWORK]
                axes.plot(one.densities, factors.mean(axis=0), **look)
                low, high = factors.min(axis=0), factors.max(axis=0)
                axes.fill_between(one.densities, low, high, color=look["color"], alpha=0.2, lw=0)
            style.density_axis(axes, densities, room=0.15)
            axes.set_xlabel("density, %" if name == [*QUANTITIES.values()][-1] else "")
            axes.set_title(f"{name}\n{when}", loc="left", fontsize=10)
        style.factor_axis(row[0])
    figure.supylabel("times narrower than in the dense network (log scale)", fontsize=11)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", fontsize=9)
    return figure
