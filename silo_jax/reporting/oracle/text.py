"""What an Oracle search says, in sentences made from the numbers."""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.aggregate import count, format_percent
from silo_jax.reporting.oracle.numbers import (
    Constant,
    Share,
    accuracy_differences,
    best_constant,
    by_cycle,
    cost,
    median_width,
    share_inside,
    silo_accuracy,
    silo_and_intervals,
)
from silo_jax.reporting.oracle.results import Curve, OracleSearch
from silo_jax.reporting.paired import describe_interval, signed
from silo_jax.reporting.protocol import protocol_notes


def headline(search: OracleSearch) -> str:
    """States the main result.

    Args:
        search: Results to state.

    Returns:
        In how many cycles SILO's max_lr lies inside the Oracle interval, and the best constant, of
        the cycles that SILO has reached; how wide the intervals are; the difference in test
        accuracy; and the ratio of the costs.
    """
    if not len(search.choices["cycle"]):
        return f"No cycle has been searched to its end yet. {_silo_progress(search)}"
    silo, low, high = silo_and_intervals(search)
    constant = best_constant(low, high)
    if constant is None:
        return "Every max_lr diverged in the first cycle, so the Oracle has found nothing."
    share = share_inside(silo, low, high)
    _, steps, seconds = np.divide(cost(search.grid), cost(search.silo))
    return (
        f"SILO's max_lr lies inside the Oracle interval, {_tolerance(search)}, in "
        f"{format_share(share)}; the best constant max_lr, {format_constant(constant)}, in "
        f"{format_share(constant.share)}. High is {median_width(low, high):.3g} times low in the "
        f"median interval: the wider they are, the less it says to lie inside. "
        f"{_difference(search)} The Oracle took {steps:.3g} times SILO's training steps and "
        f"{seconds:.3g} times its seconds, not counting what it took to find SILO's bounds."
    )


def _difference(search: OracleSearch) -> str:
    _, overall = accuracy_differences(search)
    pruned = int((search.has_choice & (search.choices["cycle"] > 0)).sum())
    if not pruned:
        return "No pruned network has been trained yet."
    if not overall.pairs:
        return "SILO and the Oracle share no seed with every cycle."
    return (
        f"SILO − Oracle in test accuracy is {signed(overall.mean)} percentage points on average "
        f"over {count(pruned, 'pruned cycle')} ({describe_interval(overall)})."
    )


def _tolerance(search: OracleSearch) -> str:
    return f"within {search.tolerance:g} percentage points of the best validation accuracy"


def format_share(share: Share) -> str:
    """Writes in how many cycles, and as a percentage.

    Example:
        >>> format_share(Share(3, 4))
        '3 of 4 cycles (75 %)'
    """
    percent = f" ({100 * share.inside / share.cycles:.0f} %)" if share.cycles else ""
    return f"{share.inside} of {count(share.cycles, 'cycle')}{percent}"


def format_constant(constant: Constant) -> str:
    """Writes the range of the constant, or the one value."""
    low, high = f"{constant.low:.3g}", f"{constant.high:.3g}"
    return low if low == high else f"any from {low} to {high}"


def spans(numbers: Iterable[int]) -> str:
    """Writes ascending numbers, those that follow each other as a range.

    Example:
        >>> spans([0, 2, 3, 4, 7])
        '0, 2–4, 7'
    """
    runs = itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    ends = [[number for _, number in run] for _, run in runs]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in ends)


def _cycles(search: OracleSearch, marks: NDArray[np.bool_]) -> str:
    """Writes the cycles of marked rows of choices."""
    return ("cycle " if marks.sum() == 1 else "cycles ") + spans(
        search.choices["cycle"][marks].tolist()
    )


def notes(search: OracleSearch) -> list[str]:
    """Lists what a reader should know before trusting an Oracle's numbers.

    Args:
        search: Results to look at.

    Returns:
        The notes on the choices, and on SILO beside them.
    """
    found = progress_notes(search)
    if not len(search.choices["cycle"]):
        return found + protocol_notes(search.config)
    if not all(done == search.num_cycles for done in _silo_cycles(search).values()):
        found.append(_silo_progress(search))
    found += choice_notes(search)
    silo, choices = by_cycle(search, search.silo, "max_lr"), search.choices
    beyond = (silo > choices["high"]) & (choices["high_open"] == 1)
    beyond |= (silo < choices["low"]) & (choices["low_open"] == 1)
    if beyond.any():
        found.append(
            f"SILO's max_lr lies beyond an open end in {_cycles(search, beyond)}: counted as "
            "outside, though nothing was tried there."
        )
    lacking = np.isnan(silo_accuracy(search, "val_accuracy").sum(axis=1))
    if lacking.any():
        found.append(
            f"SILO lacks seeds in {_cycles(search, lacking)}; its means are over the others."
        )
    return found


def progress_notes(search: OracleSearch) -> list[str]:
    """Tells how far the search is: its cycles, and what the next one has so far."""
    reached = len(search.choices["cycle"])
    if reached == search.num_searched:
        return []
    told = f"The search has {reached} of {count(search.num_searched, 'cycle')}"
    going = search.grid["cycle"] == reached
    if going.any():
        values = len(np.unique(search.grid["max_lr"][going]))
        networks = f"{count(int(going.sum()), 'network')} with {values} max_lr"
        return [f"{told}; cycle {reached} is still being searched, {networks} so far."]
    return [f"{told}."]


def _silo_cycles(search: OracleSearch) -> dict[int, int]:
    """How many cycles each seed of SILO's own run has finished."""
    finished = search.silo["seed"][search.silo["diverged"] == 0]
    return {seed: int(np.sum(finished == seed)) for seed in search.seeds}


def _silo_progress(search: OracleSearch) -> str:
    told = [
        f"{done} of {count(search.num_cycles, 'cycle')} of seed {seed}"
        if done
        else f"seed {seed} not started"
        for seed, done in _silo_cycles(search).items()
    ]
    return f"SILO's own run has {', '.join(told)}."


def choice_notes(search: OracleSearch) -> list[str]:
    """Lists what a reader should know about the choices and their intervals.

    Args:
        search: Results to look at.

    Returns:
        A sentence each for choices that test data take part in, cycles without a choice, values
        that diverged, ties, open intervals, gaps, and intervals that are not there.
    """
    choices, chosen = search.choices, search.has_choice
    lost = choices["num_diverged"]
    pairs = zip(*(choices[name].tolist() for name in ("cycle", "max_lr", "tied")), strict=True)
    ties = [f"{max_lr:.4g} with {tied} in cycle {cycle}" for cycle, max_lr, tied in pairs if tied]
    told = [
        (~chosen, "Every max_lr diverged in {}, so nothing was chosen."),
        (
            lost > 0,
            f"Diverged with a seed or more: {count(int(lost.sum()), 'value')} of "
            f"{int(choices['num_values'].sum())} tried, in " + "{}.",
        ),
        (
            choices["tied"] != "",
            f"Ties in mean validation accuracy, decided by the lower loss: {'; '.join(ties)}.",
        ),
        (
            choices["low_open"] == 1,
            "Open below in {}: the smallest max_lr tried is within the tolerance, and the interval "
            "may be wider.",
        ),
        (
            choices["high_open"] == 1,
            "Open above in {}: the largest max_lr tried is within the tolerance, and the interval "
            "may be wider.",
        ),
        (
            choices["gaps"] == 1,
            "In {} a max_lr beyond a worse one is within the tolerance, too; the interval ends "
            "before it.",
        ),
        (chosen & np.isnan(choices["low"]), "No interval within the tolerance in {}."),
        (
            chosen & np.isnan(choices["se_low"]),
            "No interval of one standard error in {}, which takes two seeds.",
        ),
    ]
    found = [text.replace("{}", _cycles(search, marks)) for marks, text in told if marks.any()]
    return protocol_notes(search.config) + found


def captions(search: OracleSearch) -> dict[str, str]:
    """Describes the figures and tables, by name."""
    seeds, choices = len(search.seeds), search.choices
    spread = f" ± one sample standard deviation over {seeds} seeds" if seeds > 1 else ", one seed"
    difference = (
        ", with the 95 % confidence interval paired over seeds, not corrected for looking at "
        "several densities"
        if seeds > 1
        else ""
    )
    se = share_inside(*silo_and_intervals(search, "se_"))
    has_se = np.isfinite(choices["se_low"]).any()
    thin = " thin bars within one standard error of it," if has_se else ""
    also = f" Within one standard error SILO lies inside in {format_share(se)}." if has_se else ""
    return {
        "max_lr_by_cycle": f"The Oracle's max_lr; broad bars {_tolerance(search)},{thin} arrows "
        "where the end of what was tried is within it; the dotted line is the best constant, and "
        f"the thick one is SILO's max_lr.{also}",
        "accuracy_by_max_lr": "Mean validation accuracy of every max_lr tried, in percentage "
        "points below the cycle's best; dots mark what was chosen, crosses what diverged with a "
        "seed or more. Of one cycle, where the page draws it: the mean by max_lr, the ring around "
        "what was chosen, its interval as the shaded range, and SILO's max_lr as the dashed line.",
        "accuracy_by_density": f"Mean test accuracy at the end of each cycle{spread}. The Oracle "
        "chooses by validation accuracy.",
        "max_lr_by_cycle_table": f"The interval is {_tolerance(search)}; … at an end: the end of "
        "what was tried is within it. Inside: SILO's max_lr lies in the interval.",
        "accuracy_by_density_table": f"Test accuracy in per cent{spread}; SILO − Oracle in "
        f"percentage points{difference}.",
        "silo": f"Means{spread}; the Oracle is still to be set beside it.",
        "cost": "What was spent, networks that diverged as far as they went; a network is one "
        "seed trained for one cycle. What it took to find SILO's bounds is not in it.",
    }


def fit_caption(fit: Curve) -> str:
    """Describes the fitted S-curve."""
    constant = ""
    if np.isfinite(fit.constant_rms):
        constant = f"; of the best constant, {format_percent(fit.constant_rms)} %"
    return (
        "The S-curve that comes closest to the Oracle's choices; the root mean square of its "
        f"residuals, curve / max_lr − 1, is {format_percent(fit.rms)} % of max_lr{constant}."
    )
