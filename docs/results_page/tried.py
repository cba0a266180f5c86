"""What else was tried: other settings of SILO's schedule, and schedules under other settings."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
      ahead: its own minus that of the strongest other schedule under the same other settings; of
        no pair if none was trained under them.
      ahead_last: the same in the last cycle.
    """

    name: str
    max_lr: float
    accuracy: str
    difference: Paired
    difference_last: Paired
    ahead: Paired
    ahead_last: Paired


class Base(NamedTuple):
    """A comparison of schedules, and the fields that are other than in the study's own."""

    changes: dict[str, Any]
    compared: Compared


def verdicts_on_tried(compared: Compared) -> list[str]:
    """What was found besides a study's own comparison of schedules."""
    own, *others = _bases(compared)
    told = [f"{compared.title}: the {found}"] if (found := _best_setting(own)) else []
    return told + [_otherwise(base) for base in others]


def options_tried(compared: Compared, tried: Tried) -> list[Option]:
    """The options of a further comparison."""
    found = scores(tried.comparison, tried.comparison.ways[-1])
    rival = _rival(compared, tried)
    return [
        Option(
            option,
            found.max_lr[place],
            pruned_accuracy(found, option),
            overall_difference(found, tried.comparison.reference, option),
            differences(found, tried.comparison.reference, option)[-1],
            paired_difference(over_pruned(found.test[place]), over_pruned(rival)),
            paired_difference(found.test[place][-1], rival[-1]),
        )
        for place, option in enumerate(found.options)
    ]


def _otherwise(base: Base) -> str:
    """A comparison of a study's schedules where more than SILO's own is set otherwise."""
    there = base.compared
    way = there.comparison.ways[-1]
    rival, overall, _ = there.strongest(way)
    others = ", ".join(one.replace("_", " ") for one in there.rivals)
    changes = ", ".join(f"`{name}={value}`" for name, value in base.changes.items())
    told = (
        f"{there.title}, but with {changes}, is not counted in these: SILO minus the strongest of "
        f"{others}, which is {rival.replace('_', ' ')}, is {format_difference(overall)} "
        f"{PARTS['pruned']}, and {format_difference(there.ahead(rival, way, 'last'))} "
        f"{PARTS['last']}, max_lr {WAYS[way]}."
    )
    found = _best_setting(base)
    return " ".join([told, *there.notes, *([f"There the {found}"] if found else [])])


def _best_setting(base: Base) -> str:
    """The best of the other settings of SILO's schedule, picked in hindsight; "" without any."""
    options = _settings(base)
    if not options:
        return ""
    settings, best = max(options.items(), key=lambda pair: pair[1].ahead.mean)
    fields = ", ".join(f"`{name}={value}`" for name, value in sorted(settings))
    found = f"one other setting of SILO's schedule that was tried ({fields})"
    if len(options) > 1:
        found = (
            f"best of {len(options)} other settings of SILO's schedule, picked by these same test "
            f"accuracies ({fields}),"
        )
    return (
        f"{found} is {format_difference(best.ahead)} beside the strongest other {PARTS['pruned']}, "
        f"and {format_difference(best.ahead_last)} {PARTS['last']}."
    )


def _settings(base: Base) -> dict[frozenset[tuple[str, str]], Option]:
    """What was tried beside a comparison of schedules, by the fields that differ from it."""
    found: dict[frozenset[tuple[str, str]], Option] = {}
    for tried in base.compared.study.tried:
        beside = _base(base.compared, tried)
        if beside and beside.changes == base.changes:
            shared = {k: str(v) for k, v in tried.changes.items() if k not in base.changes}
            first, *others = options_tried(base.compared, tried)
            found[frozenset(shared.items())] = first
            for option in others:
                found[frozenset({**shared, tried.comparison.along: option.name}.items())] = option
    return {settings: one for settings, one in found.items() if settings and one.ahead.pairs}


def _bases(compared: Compared) -> list[Base]:
    """The study's own comparison of schedules, and those under other settings."""
    study = compared.study
    return [Base({}, Compared(study))] + [
        Base(tried.changes, Compared(study, tried.comparison))
        for tried in study.tried
        if tried.comparison.along == "schedule"
    ]


def _base(compared: Compared, tried: Tried) -> Base | None:
    """The comparison of schedules from which one differs in SILO's schedule alone."""
    able = [base for base in _bases(compared) if _is_of_silo_alone(tried, base.changes)]
    return max(able, key=lambda base: len(base.changes), default=None)


def _is_of_silo_alone(tried: Tried, shared: dict[str, Any]) -> bool:
    """Whether it differs from a comparison with some changes in SILO's schedule alone."""
    along = tried.comparison.along
    others = [name for name in tried.changes if name not in shared]
    return (
        along != "schedule"
        and all(name.startswith("schedule.") for name in (along, *others))
        and all(tried.changes.get(name) == value for name, value in shared.items())
    )


def _rival(compared: Compared, tried: Tried) -> NDArray[np.float64]:
    """Test accuracy of the strongest other schedule beside a comparison, (cycles, its seeds).

    NaN of seeds that the schedule was not trained with, and of all if there is no such schedule.
    """
    seeds, base = tried.comparison.seeds, _base(compared, tried)
    there = base.compared if base else compared
    way = there.comparison.ways[-1]
    found = there.scores(way)
    test = found.test[found.options.index(there.strongest(way).rival)]
    rival = np.full((len(test), len(seeds)), np.nan)
    for place, seed in enumerate(seeds):
        if base and seed in there.comparison.seeds:
            rival[:, place] = test[:, there.comparison.seeds.index(seed)]
    return rival
