"""The second claim: SILO's max_lr lies in the Oracle's intervals, and SILO is as good."""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from docs.results_page.studies import Study, label, number_of
from silo_jax.reporting.oracle.numbers import (
    Share,
    accuracy_differences,
    best_constant,
    by_cycle,
    cost,
    median_width,
    share_inside,
    silo_and_intervals,
)
from silo_jax.reporting.paired import Paired


class Inside(NamedTuple):
    """In how many of the Oracle's intervals a max_lr lies.

    Attributes:
      silo: SILO's.
      held: that of SILO's first cycle, held in all.
      best: the constant that lies in most of these intervals.
      silo_strictly: SILO's, in the intervals within one standard error of the best.
      held_strictly: that of its first cycle, in the same.
      width: median of the intervals' upper over lower ends.
      open_ends: in how many cycles an interval goes on beyond what was tried, below or above.
    """

    silo: Share
    held: Share
    best: Share
    silo_strictly: Share
    held_strictly: Share
    width: float
    open_ends: int


class Searched:
    """A study's Oracle."""

    def __init__(self, study: Study) -> None:
        self.study, self.title, self.oracle = study, study.title, study.oracle

    @cached_property
    def inside(self) -> Inside:
        _, low, high = silo_and_intervals(self.oracle)
        constant = best_constant(low, high)
        assert constant, f"{self.title}: no interval"
        choices = self.oracle.choices
        open_ends = int(((choices["low_open"] == 1) | (choices["high_open"] == 1)).sum())
        return Inside(
            *self._shares(),
            constant.share,
            *self._shares("se_"),
            median_width(low, high),
            open_ends,
        )

    def _shares(self, part: str = "") -> list[Share]:
        """Of SILO's max_lr and of that of its first cycle, by the intervals of a part."""
        silo, low, high = silo_and_intervals(self.oracle, part)
        held = np.where(np.isfinite(silo), self._silo[0], np.nan)
        return [share_inside(one, low, high) for one in (silo, held)]

    @property
    def _silo(self) -> np.ndarray:
        return by_cycle(self.oracle, self.oracle.silo, "max_lr")

    @property
    def rise(self) -> tuple[float, float]:
        """The Oracle's max_lr in the last cycle over that in the first, as chosen; SILO's."""
        chosen = self.oracle.choices["max_lr"]
        return chosen[-1] / chosen[0], self._silo[-1] / self._silo[0]

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of the Oracle's max_lr with the cycle."""
        return float(spearmanr(self.oracle.choices["cycle"], self.oracle.choices["max_lr"])[0])

    @property
    def misfit(self) -> tuple[float, float]:
        """Root mean square of residuals over max_lr: of the best S-curve, of the best constant."""
        fit = self.oracle.fit
        return (math.nan, math.nan) if fit is None else (fit.rms, fit.constant_rms)

    @property
    def values_tried(self) -> int:
        """In a cycle, at least."""
        return int(self.oracle.choices["num_values"].min())

    @property
    def behind(self) -> Paired:
        """SILO minus the Oracle, over the pruned cycles."""
        return accuracy_differences(self.oracle)[1]

    @property
    def times_the_steps(self) -> tuple[float, float]:
        """Steps of the Oracle over those of SILO; and with SILO's, those of `tune`, or NaN."""
        oracle, own = cost(self.oracle.grid).steps, cost(self.oracle.silo).steps
        if not self.study.has("tune"):
            return oracle / own, math.nan
        tuned = sum(float(row["steps"]) for row in self.study.rows("tune/grid.csv"))
        return oracle / own, oracle / (own + tuned)


def bounds_at_edge(study: Study) -> bool:
    """Whether a bound that `tune` found is the smallest or largest value that it tried."""
    tried = defaultdict(set)
    for row in study.rows("tune/grid.csv"):
        tried[row["cycle"]].add(float(row["max_lr"]))
    return any(
        not min(tried[row["cycle"]]) < float(row["max_lr"]) < max(tried[row["cycle"]])
        for row in study.rows("tune/choices.csv")
    )


def verdict_on_intervals(searched: Sequence[Searched]) -> str:
    """Whether SILO's max_lr lies in the Oracle's intervals, more often than where it starts."""
    silo, held, best, strictly, held_strictly = (
        _total([one.inside[i] for one in searched]) for i in range(5)
    )
    found = "Holds in part" if silo.inside > held.inside else "Does not hold here"
    if silo.inside == silo.cycles:
        found = "Holds here"
    return (
        f"**{found}.** SILO's max_lr is inside in {silo.inside} of {silo.cycles} cycles. One that "
        f"does not rise, held where SILO starts, is inside in {held.inside} (the claim would hold "
        f"in part if that were fewer), and the best constant, picked by these same intervals, in "
        f"{best.inside}. Of the intervals within one standard error of the best, SILO's is inside "
        f"in {strictly.inside} and the held one in {held_strictly.inside}."
    )


def verdict_on_the_oracle(searched: Sequence[Searched]) -> str:
    """Whether SILO is as good as the Oracle, to within the tolerance of its intervals."""
    behind = [(one.behind, one.oracle.tolerance) for one in searched]
    as_good = sum(one.low > -tolerance for one, tolerance in behind)
    worse = sum(one.high < -tolerance for one, tolerance in behind)
    behind_at_all = sum(one.high < 0 for one, _ in behind)
    alone, tuned = np.transpose([one.times_the_steps for one in searched])
    tried = min(one.values_tried for one in searched)
    number = len(searched)
    return (
        f"**{label(as_good, worse, number)}.** The 95 % interval of SILO − Oracle lies above "
        f"−{behind[0][1]:g} points in {as_good} of {number_of(number)}, below it in {worse}; "
        f"SILO is worse by any amount (interval below 0) in {behind_at_all}. "
        f"The Oracle, which tries {tried} values of max_lr or more in a cycle, "
        f"takes {alone.min():.2g} times SILO's training steps or more; "
        f"{np.nanmin(tuned):.2g} times when the search for SILO's bounds is counted, too."
    )


def _total(shares: Sequence[Share]) -> Share:
    return Share(sum(share.inside for share in shares), sum(share.cycles for share in shares))
