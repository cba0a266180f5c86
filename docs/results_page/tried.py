"""What else was tried: other settings of SILO's schedule, and schedules under other settings."""

from typing import NamedTuple

import numpy as np

from docs.results_page.compared import PARTS, WAYS, Compared, pruned_accuracy
from docs.results_page.studies import Tried
from silo_jax.reporting.comparison.numbers import (
    differences,
    over_pruned,
    overall_difference,
    scores,
)
from silo_jax.reporting.paired import Paired, format_difference, paired_difference


class Option(NamedTuple):
    """One option of a further comparison.

    Attributes:
      name: of the option.
      max_lr: of its dense network.
      accuracy: over the pruned cycles.
      difference: that of the first option minus its own.
      difference_last: the same in the last cycle.
      ahead: its own minus that of the study's strongest other schedule; of no pair if more than
        SILO's schedule was changed.
      ahead_last: the same in the last cycle.
    """

    name: str
    max_lr: float
    accuracy: str
    difference: Paired
    difference_last: Paired
    ahead: Paired
    ahead_last: Paired


def otherwise(compared: Compared, tried: Tried) -> str:
    """A comparison of a study's schedules where more than SILO's own is set otherwise."""
    there = Compared(compared.study, tried.comparison)
    way = tried.comparison.ways[-1]
    rival, overall, _ = there.strongest(way)
    others = ", ".join(one.replace("_", " ") for one in there.rivals)
    changes = ", ".join(f"`{name}={value}`" for name, value in tried.changes.items())
    told = (
        f"{compared.title}, with {changes}, is not counted in these: SILO minus the strongest of "
        f"{others}, which is {rival.replace('_', ' ')}, is {format_difference(overall)} "
        f"{PARTS['pruned']}, and {format_difference(there.ahead(rival, way, 'last'))} "
        f"{PARTS['last']}, max_lr {WAYS[way]}."
    )
    return " ".join([told, *there.notes])


def other_settings(compared: Compared) -> str:
    """The best of the other settings of SILO's schedule, picked in hindsight."""
    options = {
        settings: option
        for tried in compared.study.tried
        if is_of_silo_alone(tried)
        for settings, option in _by_settings(compared, tried).items()
        if settings and option.ahead.pairs
    }
    best = max(options.values(), key=lambda option: option.ahead.mean)
    return (
        f"{compared.title}: the best of {len(options)} other settings of SILO's schedule, picked "
        f"by these same test accuracies, is {format_difference(best.ahead)} beside the strongest "
        f"other {PARTS['pruned']}, and {format_difference(best.ahead_last)} {PARTS['last']}."
    )


def _by_settings(compared: Compared, tried: Tried) -> dict[frozenset[tuple[str, str]], Option]:
    """The options of a further comparison by the fields that differ from the study's own."""
    changes = {name: str(value) for name, value in tried.changes.items()}
    own, *others = options_tried(compared, tried)
    along = tried.comparison.along
    return {frozenset(changes.items()): own} | {
        frozenset((changes | {along: option.name}).items()): option for option in others
    }


def is_of_silo_alone(tried: Tried) -> bool:
    """Whether it differs from the study in SILO's schedule alone."""
    return all(name.startswith("schedule.") for name in (tried.comparison.along, *tried.changes))


def options_tried(compared: Compared, tried: Tried) -> list[Option]:
    """The options of a further comparison."""
    found = scores(tried.comparison, tried.comparison.ways[-1])
    way = compared.comparison.ways[-1]
    rivals = compared.scores(way)
    both = [seed for seed in compared.comparison.seeds if seed in tried.comparison.seeds]
    ours, theirs = (
        found_there.test[..., [there.seeds.index(seed) for seed in both]]
        for found_there, there in ((found, tried.comparison), (rivals, compared.comparison))
    )
    rival = theirs[rivals.options.index(compared.strongest(way).rival)]
    if not is_of_silo_alone(tried):
        rival = np.full_like(rival, np.nan)
    return [
        Option(
            option,
            found.max_lr[place],
            pruned_accuracy(found, option),
            overall_difference(found, tried.comparison.reference, option),
            differences(found, tried.comparison.reference, option)[-1],
            paired_difference(over_pruned(ours[place]), over_pruned(rival)),
            paired_difference(ours[place][-1], rival[-1]),
        )
        for place, option in enumerate(found.options)
    ]
