"""A study's comparison of schedules, with what the page says of SILO beside the others."""

from docs.results_page.studies import Study
from silo_jax.reporting.aggregate import format_spread, over_present
from silo_jax.reporting.comparison import Comparison
from silo_jax.reporting.comparison.numbers import (
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
from silo_jax.reporting.paired import Paired

WAYS = {"hindsight": "chosen in hindsight", "tuned": "tuned on the dense network"}
PARTS = {"pruned": "in the mean over the pruned cycles", "last": "in the last, sparsest cycle"}


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


def pruned_accuracy(found: Scores, option: str) -> str:
    """Mean test accuracy over the pruned cycles, ± a standard deviation over seeds."""
    test = over_pruned(found.test)[found.options.index(option)]
    stats = over_present(test)
    few = "" if stats.seeds == len(test) else f" ({stats.seeds} of {len(test)} seeds)"
    return f"{format_spread(float(stats.mean), float(stats.std))} %{few}"
