"""The first claim: SILO beats other schedules by 2 to 4 points."""

from collections.abc import Sequence

from docs.results_page.compared import PARTS, WAYS, Compared
from docs.results_page.studies import label, number_of
from docs.results_page.tried import verdicts_on_tried
from silo_jax.reporting.aggregate import format_spread, over_present
from silo_jax.reporting.comparison.numbers import CLAIMED
from silo_jax.reporting.paired import format_difference, signed

# Test accuracy of ResNet-20 on CIFAR-10 by density, LR rewinding: Renda, Frankle & Carbin 2020,
# medians of the data published with the paper (rewinding-iclr20-public).
RENDA = {1.0: 91.71, 0.512: 92.29, 0.21: 91.89, 0.107: 91.01}


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
    told += [found for one in compared for found in verdicts_on_tried(one)]
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
