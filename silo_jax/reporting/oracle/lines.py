"""The numbers that the figures of a search draw."""

from typing import Any

import numpy as np

from silo_jax.reporting.aggregate import over_present, over_seeds
from silo_jax.reporting.lines import Line, Numbers, line_numbers, mean_line
from silo_jax.reporting.oracle.earlier import EarlierOracle
from silo_jax.reporting.oracle.numbers import (
    best_constant,
    by_cycle,
    curve_by_cycle,
    oracle_accuracy,
    silo_accuracy,
    silo_and_intervals,
)
from silo_jax.reporting.oracle.results import OracleSearch
from silo_jax.reporting.reading import Columns

_ENDS = ("se_low", "se_high", "low_open", "high_open")


def max_lr_lines(search: OracleSearch) -> list[Line]:
    """The Oracle's max_lr by cycle with its interval, SILO's, and what lies beside."""
    cycle = search.choices["cycle"]
    found = [
        choice_line(search.choices),
        Line("SILO", cycle, by_cycle(search, search.silo, "max_lr")),
    ]
    if search.fit is not None:
        found.append(Line("fitted S-curve", cycle, curve_by_cycle(search.fit, search)))
    _, *ends = silo_and_intervals(search)
    constant = best_constant(*ends)
    if constant is not None:
        found.append(Line("best constant", cycle, np.full(len(cycle), constant.middle)))
    return found


def choice_line(choices: Columns) -> Line:
    """The Oracle's max_lr by cycle with its interval as band, and its other ends as columns."""
    low, high = choices["low"], choices["high"]
    told = {name: choices[name] for name in _ENDS if name in choices}
    return Line("Oracle", choices["cycle"], choices["max_lr"], low, high, told)


def curve_lines(earlier: EarlierOracle) -> list[Line]:
    """The Oracle's max_lr by cycle, and the S-curve between the bounds."""
    oracle = choice_line(earlier.choices)
    return [oracle, Line("S-curve", oracle.x, earlier.curve)]


def tried_lines(search: OracleSearch) -> list[Line]:
    """Validation accuracy by max_lr, a line a cycle, with bands over the seeds.

    NaN where a seed diverged. Also of a cycle that is still being searched, which has no choice.
    """
    chosen = dict(
        zip(*(search.choices[name].tolist() for name in ("cycle", "max_lr")), strict=True)
    )
    found = []
    for cycle in np.unique(search.grid["cycle"]).tolist():
        rows = search.grid["cycle"] == cycle
        stats = over_seeds(search.grid["max_lr"][rows], search.grid["val_accuracy"][rows])
        best = np.max(stats.mean[np.isfinite(stats.mean)], initial=-np.inf)
        told: dict[str, Any] = {"cycle": cycle, "below_best": stats.mean - best}
        told["chosen"] = (stats.keys == chosen.get(cycle)).astype(int)
        found.append(mean_line(f"cycle {cycle}", stats.keys, stats, **told))
    return found


def accuracy_lines(search: OracleSearch) -> list[Line]:
    """Test accuracy by density of the Oracle and of SILO, with bands over the seeds."""
    there = np.isfinite(search.choices["density"])
    density, cycle = (search.choices[name][there] for name in ("density", "cycle"))
    return [
        mean_line(name, density, over_present(of(search, "test_accuracy")[there]), cycle=cycle)
        for name, of in (("Oracle", oracle_accuracy), ("SILO", silo_accuracy))
    ]


def max_lr_numbers(search: OracleSearch) -> Numbers:
    """For figures/max_lr_by_cycle.csv."""
    return line_numbers(max_lr_lines(search), name="line", x="cycle", y="max_lr")


def tried_numbers(search: OracleSearch) -> Numbers:
    """For figures/accuracy_by_max_lr.csv."""
    return line_numbers(tried_lines(search), name="line", x="max_lr", y="val_accuracy")


def accuracy_numbers(search: OracleSearch) -> Numbers:
    """For figures/accuracy_by_density.csv."""
    return line_numbers(accuracy_lines(search), name="line", x="density", y="test_accuracy")


def curve_numbers(earlier: EarlierOracle) -> Numbers:
    """For figures/curve_and_oracle.csv."""
    return line_numbers(curve_lines(earlier), name="line", x="cycle", y="max_lr")
