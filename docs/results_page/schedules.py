"""The first claim: SILO beats other schedules by 2 to 4 points; and where its advantage goes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from docs.results_page.studies import Study, Tried, label, number_of
from silo_jax.reporting.aggregate import format_spread, over_present
from silo_jax.reporting.comparison import Comparison
from silo_jax.reporting.comparison.numbers import (
    CLAIMED,
    Contest,
    Scores,
    best_other,
    contest,
    differences,
    over_pruned,
    overall_difference,
    scores,
)
from silo_jax.reporting.comparison.text import notes
from silo_jax.reporting.paired import Paired, format_difference, paired_difference, signed

WAYS = {"hindsight": "chosen in hindsight", "tuned": "tuned on the dense network"}
PARTS = {"pruned": "in the mean over the pruned cycles", "last": "in the last, sparsest cycle"}
# Test accuracy of ResNet-20 on CIFAR-10 by density, LR rewinding: Renda, Frankle & Carbin 2020,
# medians of the data published with the paper (rewinding-iclr20-public).
RENDA = {1.0: 91.71, 0.512: 92.29, 0.21: 91.89, 0.107: 91.01}


class Compared:
    """A comparison of schedules, the study's own if none is given, with SILO as the reference."""

    def __init__(self, study: Study, comparison: Comparison | None = None) -> None:
        self.study, self.title = study, study.title
        self.comparison = comparison or study.comparison

    @property
    def rivals(self) -> list[str]:
        """The other schedules that the claim is about."""
        return [one for one in self.comparison.options if self.comparison.is_claimed(one)]

    @property
    def choosing(self) -> str:
        """Which of the seeds chose max_lr."""
        few, seeds = len(self.comparison.tuning_seeds), len(self.comparison.seeds)
        first = "first" if few == 1 else f"first {few}"
        return "all seeds" if few == seeds else f"the {first} of {seeds} seeds"

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the comparison."""
        return notes(self.comparison)

    def scores(self, way: str) -> Scores:
        """With each schedule's max_lr chosen in a way: "tuned" or in "hindsight"."""
        return scores(self.comparison, way)

    def accuracy(self, way: str) -> str:
        """SILO's over the pruned cycles."""
        return pruned_accuracy(self.scores(way), self.comparison.reference)

    def ahead(self, schedule: str, way: str, part: str = "pruned") -> Paired:
        """SILO minus a schedule, over the pruned cycles or in the last one."""
        found = self.scores(way)
        if part == "pruned":
            return overall_difference(found, self.comparison.reference, schedule)
        return differences(found, self.comparison.reference, schedule)[-1]

    def strongest(self, way: str) -> Contest:
        """SILO against the rival of the best validation accuracy over the pruned cycles."""
        return self._contest(self.scores(way))

    def held_out(self, way: str) -> Paired:
        """SILO minus the strongest as some seeds choose it, by the others; of no pair without."""
        found, chooses = self.scores(way), self.comparison.chooses
        chosen_by, told_by = (
            found._replace(val=found.val[..., seeds], test=found.test[..., seeds])
            for seeds in (chooses, ~chooses)
        )
        rival = self._contest(chosen_by).rival
        return overall_difference(told_by, self.comparison.reference, rival)

    @property
    def favourite(self) -> str | None:
        """The rival of the best validation accuracy in the dense network."""
        found = self.scores("tuned")
        dense = over_present(found.val[:, 0][:, self.comparison.chooses]).mean
        comparison = self.comparison
        return best_other(comparison.options, comparison.reference, dense, comparison.apart)

    def _contest(self, found: Scores) -> Contest:
        met = contest(found, self.comparison.reference, self.comparison.apart)
        assert met, f"{self.title}: no rival has every cycle"
        return met


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


def verdict_on_schedules(compared: Sequence[Compared]) -> str:
    """Whether SILO beats the strongest other schedule by as much as is claimed, in hindsight."""
    told, labels = [], {}
    for way in WAYS:
        those = [one for one in compared if way in one.comparison.ways and len(one.rivals) > 1]
        if not those:
            continue
        contests = [one.strongest(way) for one in those]
        ahead = [one.overall for one in contests]
        reached = sum(bool(one.holds) for one in contests)
        ruled_out = sum(one.high < CLAIMED[0] for one in ahead)
        labels[way] = label(reached, ruled_out, len(ahead))
        means = [one.mean for one in ahead]
        told.append(
            f"With each schedule's max_lr {WAYS[way]}, SILO minus the strongest other is "
            f"{signed(min(means))} to {signed(max(means))} points {PARTS['pruned']}: "
            f"{CLAIMED[0]:g} or more in {reached} of {number_of(len(ahead))}, which the 95 % "
            f"interval rules out in {ruled_out}. {_counts(those, way)}"
        )
    told += [
        _other_settings(one) for one in compared if any(map(_is_of_silo_alone, one.study.tried))
    ]
    told += [
        _otherwise(one, tried)
        for one in compared
        for tried in one.study.tried
        if tried.comparison.along == "schedule"
    ]
    told += [_alone(one) for one in compared if len(one.rivals) == 1]
    found = labels.get("hindsight") or labels["tuned"]
    return "\n   - ".join([f"**{found}.**", *told])


def _alone(compared: Compared) -> str:
    """A comparison with one other schedule, which says nothing of the strongest of them."""
    found = [
        f"{format_difference(compared.ahead(compared.rivals[0], way))}, max_lr {WAYS[way]}"
        for way in compared.comparison.ways
    ]
    return (
        f"{compared.title}, was compared with {compared.rivals[0]} alone, and is not counted in "
        f"these: {'; '.join(found)} by {compared.choosing} from "
        f"{len(compared.comparison.max_lrs)} values."
    )


def _otherwise(compared: Compared, tried: Tried) -> str:
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


def _other_settings(compared: Compared) -> str:
    """The best of the other settings of SILO's schedule, picked in hindsight."""
    options = {
        settings: option
        for tried in compared.study.tried
        if _is_of_silo_alone(tried)
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


def _is_of_silo_alone(tried: Tried) -> bool:
    """Whether it differs from the study in SILO's schedule alone."""
    return all(name.startswith("schedule.") for name in (tried.comparison.along, *tried.changes))


def _counts(compared: Sequence[Compared], way: str) -> str:
    """In how many of all differences from other schedules SILO is better and worse."""
    told = []
    for part, where in PARTS.items():
        each = [one.ahead(rival, way, part) for one in compared for rival in one.rivals]
        better, worse = sum(one.low > 0 for one in each), sum(one.high < 0 for one in each)
        told.append(f"{where} better in {better} and worse in {worse}")
    return (
        f"Against each of the others ({len(each)} pairs of schedule and study) it is "
        f"{', and '.join(told)}, by intervals without 0."
    )


def pruned_accuracy(found: Scores, option: str) -> str:
    """Mean test accuracy over the pruned cycles, ± a standard deviation over seeds."""
    test = over_pruned(found.test)[found.options.index(option)]
    stats = over_present(test)
    few = "" if stats.seeds == len(test) else f" ({stats.seeds} of {len(test)} seeds)"
    return f"{format_spread(float(stats.mean), float(stats.std))} %{few}"


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
    if not _is_of_silo_alone(tried):
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


def beside_renda(compared: Compared) -> list[tuple[float, list[str], float | None]]:
    """By density in per cent: accuracy of each schedule, and Renda et al.'s if it is there."""
    found = compared.scores("tuned")
    rows = []
    for cycle, density in enumerate(found.density):
        stats = over_present(found.test[:, cycle])
        reached = [format_spread(*pair) for pair in zip(stats.mean, stats.std, strict=True)]
        published = [value for at, value in RENDA.items() if abs(at / density - 1) < 0.01]
        rows.append((100 * density, reached, published[0] if published else None))
    return rows
