"""What a comparison says, in sentences made from the numbers."""

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import count, format_percent, format_spread, over_present
from silo_jax.reporting.comparison.numbers import (
    CLAIMED,
    Contest,
    Scores,
    contest,
    over_pruned,
    overall_difference,
    scores,
    way_that_counts,
)
from silo_jax.reporting.comparison.results import Comparison
from silo_jax.reporting.paired import describe_interval, signed
from silo_jax.reporting.protocol import protocol_notes

_WAYS = {
    "tuned": "max_lr tuned on the dense network",
    "hindsight": "max_lr chosen in hindsight, over all cycles",
}
_UNCORRECTED = "Intervals are not corrected for looking at several densities"


def headline(comparison: Comparison) -> str:
    """States the main result: whether the claim holds, or how the options compare.

    Args:
        comparison: Results to state.

    Returns:
        For schedules, whether 2–4 % higher test accuracy is found: the mean difference over the
        pruned cycles against the one best rival in use, its interval, and its range over the
        densities; and then that against this project's own schedules.
        For another axis, the mean test accuracy of each option and the same difference, no claim.
    """
    found = scores(comparison, way_that_counts(comparison))
    if len(found.density) < 2:
        return "No pruned network has been trained yet, so nothing can be told about pruning."
    met = contest(found, comparison.reference, comparison.apart)
    if not comparison.along_schedules:
        return _plain(comparison, found, met)
    return " ".join([_verdict(comparison, met), *_against_own(comparison, found)])


def _verdict(comparison: Comparison, met: Contest | None) -> str:
    claim = (
        f"The claim of {CLAIMED[0]:g}–{CLAIMED[1]:g} % higher test accuracy than other schedules"
    )
    if met is None:
        return f"{claim} cannot be told: no schedule in use has a seed with every cycle."
    if met.holds is None:
        reason = f"cannot be told with {count(met.overall.pairs, 'seed')}"
    else:
        reason = "holds here" if met.holds else "does not hold here"
    return f"{claim} {reason}: {_difference(comparison, met)}."


def _against_own(comparison: Comparison, found: Scores) -> list[str]:
    sentences = []
    for own in comparison.apart:
        apart = overall_difference(found, comparison.reference, own)
        told = "they share no seed with every cycle"
        if apart.pairs:
            told = (
                f"{comparison.reference} − {own} is {signed(apart.mean)} percentage points on "
                f"average over the same densities ({describe_interval(apart)})"
            )
        sentences.append(f"{own} is a schedule of this project's own, not in the claim: {told}.")
    return sentences


def _plain(comparison: Comparison, found: Scores, met: Contest | None) -> str:
    stats = over_present(over_pruned(found.test))
    told = [
        f"{option} {format_spread(mean, std)} %" if seeds else f"{option} nothing complete"
        for option, mean, std, seeds in zip(found.options, *stats, strict=True)
    ]
    means = f"Mean test accuracy over {_densities(len(found.density) - 1)}: {', '.join(told)}"
    if met is None:
        return f"{means}. No other value has a seed with every cycle."
    return f"{means}. {_difference(comparison, met)}."


def _difference(comparison: Comparison, met: Contest) -> str:
    """States the mean difference, its interval, its range over the densities, and the rival."""
    reference, rival, overall = comparison.reference, met.rival, met.overall
    if not overall.pairs:
        return f"{reference} and {rival}, its best rival, share no seed with every cycle"
    means = [paired.mean for paired in met.by_cycle]
    above = sum(paired.low > 0 for paired in met.by_cycle)
    below = sum(paired.high < 0 for paired in met.by_cycle)
    hindsight = way_that_counts(comparison) == "hindsight"
    sentences = [
        f"{reference} − {rival} in test accuracy is {signed(overall.mean)} percentage points on "
        f"average over {_densities(len(means))} ({describe_interval(overall)}), from "
        f"{signed(min(means))} to {signed(max(means))} by density",
        f"{rival} is the rival with the highest mean validation accuracy over them"
        f"{', each with its best peak in hindsight' if hindsight else ''}",
    ]
    if met.holds is not None:
        sentences[0] += f", with its interval above 0 at {above} and below 0 at {below} of them"
        sentences.append(_UNCORRECTED)
    return ". ".join(sentences)


def _densities(number: int) -> str:
    return "the one pruned density" if number == 1 else f"the {number} pruned densities"


def notes(comparison: Comparison) -> list[str]:
    """Lists what a reader should know before trusting the numbers.

    Args:
        comparison: Results to look at.

    Returns:
        A sentence each for choices that test data take part in, unfinished and diverged cells,
        options without a choice, choices at the edge of the grid, and densities that differ
        between options.
    """
    found = protocol_notes(comparison.config) + _unfinished(comparison)
    found += _divergences(comparison)
    started = {*comparison.cells["option"].tolist()}
    for way in comparison.ways:
        nothing = [
            option
            for option in comparison.options
            if option in started and np.isnan(comparison.chosen_max_lr(way, option))
        ]
        if nothing:
            found.append(f"No max_lr could be chosen ({way}) for {', '.join(nothing)}.")
        edge = [
            f"{option} ({comparison.chosen_max_lr(way, option):.4g})"
            for option in comparison.options
            if comparison.at_edge(way, option)
        ]
        if edge and comparison.along_schedules:
            found.append(
                f"At the edge of the grid, so that a better one may lie beyond: {_WAYS[way]}, of "
                f"{', '.join(edge)}."
            )
    return found + _densities_apart(comparison)


def _unfinished(comparison: Comparison) -> list[str]:
    """Tells how many networks lack cycles; those of another max_lr may not need them all."""
    cells = comparison.cells
    ended = (cells["cycle"] == comparison.num_cycles - 1) | (cells["diverged"] == 1)
    wanted = _chosen(comparison)
    if "hindsight" in comparison.ways:
        wanted |= np.isin(cells["seed"], comparison.tuning_seeds)
    asked = {option: _networks(comparison, option) for option in comparison.options}
    done = {option: int(np.sum(ended & wanted & (cells["option"] == option))) for option in asked}
    behind = sum(asked.values()) - sum(done.values())
    if not behind:
        return []
    started = {*cells["option"].tolist()}
    told = [
        f"{option} {f'has {done[option]} of {number}' if option in started else 'is not started'}"
        for option, number in asked.items()
        if done[option] < number
    ]
    return [
        f"Unfinished comparison: {behind} of {sum(asked.values())} networks lack cycles; "
        f"{', '.join(told)}. Results are over the seeds that are there, and what was chosen is the "
        "best so far."
    ]


def _networks(comparison: Comparison, option: str) -> int:
    """How many networks of an option are trained through all cycles, by what is chosen so far."""
    values = [comparison.chosen_max_lr(way, option) for way in comparison.ways]
    chosen = len({value for value in values if np.isfinite(value)})
    others = len(comparison.max_lrs) - chosen if "hindsight" in comparison.ways else 0
    return chosen * len(comparison.seeds) + others * len(comparison.tuning_seeds)


def _chosen(comparison: Comparison) -> NDArray[np.bool_]:
    """Marks the rows of the cells that were chosen in any way."""
    marks = np.zeros(len(comparison.cells["option"]), bool)
    for way in comparison.ways:
        for option in comparison.options:
            marks |= comparison.cell_rows(option, comparison.chosen_max_lr(way, option))
    return marks


def _divergences(comparison: Comparison) -> list[str]:
    cells = comparison.cells
    diverged = np.flatnonzero(cells["diverged"] == 1)
    shown = [
        f"{cells['option'][row]}, max_lr {cells['max_lr'][row]:.4g}, seed {cells['seed'][row]} in "
        f"cycle {cells['cycle'][row]}"
        for row in diverged[_chosen(comparison)[diverged]]
    ]
    found = []
    if shown:
        found.append(
            f"Diverged, and missing from there on: {'; '.join(shown)}. "
            "Means are over the other seeds."
        )
    others = len(diverged) - len(shown)
    if others:
        found.append(
            f"{count(others, 'network')} with another max_lr than the chosen ones diverged."
        )
    return found


def _densities_apart(comparison: Comparison) -> list[str]:
    cells, mean = comparison.cells, comparison.density
    finished = cells["diverged"] == 0
    apart = np.abs(cells["density"][finished] / mean[cells["cycle"][finished]] - 1).max()
    if apart <= 0.01:
        return []
    return [
        f"Densities of the same cycle differ from their mean by up to {format_percent(apart)} %; "
        "rows go by cycle."
    ]


def table_caption(comparison: Comparison, way: str) -> str:
    """Describes the table of one way."""
    if len(comparison.seeds) == 1:
        caption = "Test accuracy in per cent of one seed, so without a spread or an interval."
    else:
        caption = (
            f"Mean test accuracy in per cent over {len(comparison.seeds)} seeds, ± one sample "
            "standard deviation; in parentheses the number of seeds where some are missing."
        )
    apart = f", {' and '.join(comparison.apart)} left out," if comparison.apart else ""
    caption += (
        f" The best mean is bold. Second column: {comparison.reference} − the best other{apart} by "
        "validation accuracy at that density, in percentage points of test accuracy"
    )
    if len(comparison.seeds) > 1:
        caption += f", with the 95 % confidence interval paired over seeds. {_UNCORRECTED}"
    if way == "hindsight":
        caption += ". This is the table that counts: every rival has its best peak in hindsight"
    return f"{caption}."


def table_title(comparison: Comparison, way: str) -> str:
    """Names the table of one way."""
    if not comparison.along_schedules:
        return "Test accuracy"
    return f"Test accuracy, {_WAYS[way]}"


def noun(comparison: Comparison) -> str:
    """What an option is."""
    return "schedule" if comparison.along_schedules else "value"


def captions(comparison: Comparison) -> dict[str, str]:
    """Describes the figures and the table of time, by name."""
    seeds, reference = len(comparison.seeds), comparison.reference
    band = f"; bands are ± one sample standard deviation over {seeds} seeds" if seeds > 1 else ""
    few = len(comparison.tuning_seeds)
    choosing = "every seed" if few == seeds else f"each of the first {few} seeds, which choose,"
    hindsight = way_that_counts(comparison) == "hindsight"
    counts = ", with max_lr chosen in hindsight" if hindsight else ""
    stripe = f"; the light green stripe is the claimed {CLAIMED[0]:g} to {CLAIMED[1]:g} percentage "
    stripe = f"{stripe}points" if comparison.along_schedules else ""
    interval = "; bands are 95 % confidence intervals, paired over seeds" if seeds > 1 else ""
    paired = ", with its 95 % confidence interval, paired over seeds" if seeds > 1 else ""
    return {
        "differences": f"Test accuracy of {reference} minus that of each other, the mean over "
        f"{_densities(comparison.cycles_done - 1)} in percentage points{paired}{counts}. The "
        "intervals are not corrected for looking at several. Also in differences.csv.",
        "accuracy_by_density": "Mean test accuracy at the end of each cycle, densest on the left, "
        f"with {reference} as the thick line{band}.",
        "differences_by_density": f"Test accuracy of {reference} minus that of each other"
        f"{counts}{interval}. Above 0 {reference} is better{stripe}. {_UNCORRECTED}.",
        "max_lr_by_cycle": "max_lr of each cycle. Lines that lie on each other show their markers "
        "in turn.",
        "accuracy_by_max_lr": "Mean validation accuracy by the max_lr of the dense network, of "
        f"the dense network and over all cycles, where {choosing} has them; rings mark what was "
        "chosen. Values more than 15 percentage points below the best lie outside.",
        "time": "What each option cost, over all its max_lr and seeds; networks that diverged are "
        "counted as far as they went.",
    }
