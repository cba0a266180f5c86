"""What the measurement says, in sentences made from the numbers."""

from collections.abc import Sequence

import numpy as np

from silo_jax.reporting.aggregate import count, format_percent, over_present
from silo_jax.reporting.premise.numbers import (
    Change,
    change,
    fit,
    positive,
    update_size,
)
from silo_jax.reporting.premise.results import MOMENTS, QUANTITIES, Premise

_SPREAD = "bands are ± one sample standard deviation over {}"


def headline(premise: Premise) -> str:
    """States whether the distributions grew narrower, and how 1/width compares with max_lr.

    Args:
        premise: Results to state.

    Returns:
        For gradients, and for representations before their activation, the factor from the first
        to the last measured cycle at each moment, with its spread over the seeds; and 1/width of
        both at initialisation beside max_lr.
    """
    if len(premise.measured) < 2:
        return "Only one cycle has been measured, so nothing can be told about pruning."
    shown = [name for name in ("gradient", "before") if name in premise.quantities]
    told = [_changes(premise, quantity) for quantity in shown]
    way = f"From {_cycle(premise, 0)} to {_cycle(premise, -1)}"
    return f"{way}, {'; '.join(told)}. {_comparison(premise, shown)}".strip()


def notes(premise: Premise) -> list[str]:
    """Lists what a reader should know before trusting the numbers.

    Args:
        premise: Results to look at.

    Returns:
        A sentence each for cycles that are missing, a single seed, and how it was measured.
    """
    missing = [
        f"seed {seed} lacks {', '.join(map(str, cycles))}"
        for seed in premise.seeds
        if (cycles := _missing(premise, seed))
    ]
    found = []
    if missing:
        found.append(
            f"Not all of the cycles {', '.join(map(str, premise.asked))} are measured: "
            f"{'; '.join(missing)}. A seed that diverged is left where it did."
        )
    if len(premise.seeds) == 1:
        found.append("One seed, so without a spread.")
    if premise.schedule != "SILO":
        found.append(
            f"The networks were trained with the schedule {premise.schedule}, so it is its max_lr "
            "that 1/width is compared with, not SILO's S-curve."
        )
    if len(premise.quantities) == 1:
        found.append("This network has no activations that can be looked into.")
    images = count(premise.num_images, "training image")
    return [
        *found,
        f"Measured on the first {images} in one batch, in training mode, without augmentation. "
        "Gradients are those of the mean loss over it, of the weights that are left; a step of "
        "training has a smaller batch, and so noisier gradients. Representations are those of all "
        "hidden units, also of units to which no weight leads any more.",
    ]


def captions(premise: Premise) -> dict[str, str]:
    """Describes each figure and table, by name."""
    seeds = len(premise.seeds)
    band = f"; {_SPREAD.format(count(seeds, 'seed'))}" if seeds > 1 else ""
    first = premise.measured[0]
    return {
        "changes": (
            f"Standard deviation over the whole network in cycle {first} and in cycle "
            f"{premise.measured[-1]}; how many times narrower it has become, mean ± sample "
            "standard deviation over the seeds (below 1 is wider), and in how many seeds it is "
            "narrower; and how many times 1/width and max_lr lie apart, both scaled to start at 1, "
            "the geometric mean over the cycles after the first."
        ),
        "inverse_widths": (
            "If the size of the updates is to stay as it is, max_lr has to follow 1/width. "
            f"{_comparison(premise, premise.quantities)} Means over the seeds, scaled to start at "
            f"1 seed by seed{band}."
        ),
        "widths_by_density": f"Standard deviation and middle 90 % of the network's values{band}.",
        "update_by_density": f"{_update(premise)}{band}.",
        "histograms": (
            "Share of the network's values in equal bins, all seeds together; what lies further "
            "out is not shown."
        ),
        "widths_by_layer": (
            f"Standard deviation in each layer over that in cycle {first}, mean over the seeds: "
            "below 1 is narrower."
        ),
        "cycles": "Means over the seeds; widths are standard deviations over the network.",
    }


def _changes(premise: Premise, quantity: str) -> str:
    told = []
    for moment in premise.moments:
        found = change(premise, moment, quantity)
        if found is not None:
            told.append(f"{_describe(found)} {MOMENTS[moment]}")
    if not told:
        return f"no seed tells how the {QUANTITIES[quantity]} changed"
    return f"the {QUANTITIES[quantity]} have become {_listed(told)}"


def _describe(found: Change) -> str:
    seeds = len(found.factors)
    if found.agreeing == seeds:
        return f"{found.times} times {found.way}"
    return f"narrower in only {np.sum(found.narrowing > 1)} of {seeds} seeds"


def _comparison(premise: Premise, quantities: Sequence[str]) -> str:
    """Tells where 1/width at initialisation ends, and how far from max_lr it is on the way."""
    fits = {quantity: fit(premise, "initialisation", quantity) for quantity in quantities}
    told = [
        f"of the {QUANTITIES[quantity]} at {found.ends:.3g} (a factor of {found.apart:.3g} from "
        f"max_lr on average over the cycles, {found.most:.3g} at most, in cycle "
        f"{found.most_cycle})"
        for quantity, found in fits.items()
        if found is not None
    ]
    ends = [found.max_lr_ends for found in fits.values() if found is not None]
    if not told:
        return ""
    return (
        f"Scaled to start at 1, max_lr ({premise.schedule}) ends at {ends[0]:.3g}, and 1/width at "
        f"initialisation {_listed(told)}."
    )


def _update(premise: Premise) -> str:
    told = []
    for moment in premise.moments:
        mean = over_present(positive(update_size(premise, moment))).mean
        if np.isfinite(mean[[0, -1]]).all():
            told.append(f"from {mean[0]:.3g} to {mean[-1]:.3g} {MOMENTS[moment]}")
    changed = f" goes {_listed(told)}" if told else ""
    return (
        f"The mean size of the update lr·|g| of a weight{changed}. It is without momentum and "
        "weight decay, and 0, so not shown, where the warm-up starts at 0"
    )


def _missing(premise: Premise, seed: int) -> list[int]:
    done = premise.cycles["cycle"][premise.cycles["seed"] == seed]
    return [cycle for cycle in premise.asked if cycle not in done]


def _cycle(premise: Premise, index: int) -> str:
    cycle, density = premise.measured[index], premise.density[index]
    if cycle == 0:
        return "the dense network"
    return f"cycle {cycle} ({format_percent(density)} % of the weights)"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
