"""The numbers behind an Oracle's tables and figures, a row a cycle, for a CSV file."""

from typing import Any

import numpy as np

from silo_jax.reporting.aggregate import over_present
from silo_jax.reporting.oracle.numbers import (
    Floats,
    accuracy_differences,
    best_constant,
    by_cycle,
    curve_by_cycle,
    fit_residuals,
    is_inside,
    oracle_accuracy,
    silo_accuracy,
    silo_and_intervals,
)
from silo_jax.reporting.oracle.results import OracleSearch

SUMMARY_COLUMNS = (
    *("cycle", "density", "max_lr", "low", "high", "low_open", "high_open", "gaps"),
    *("se_low", "se_high", "silo_max_lr", "inside", "se_inside", "constant", "constant_inside"),
    *("fit_max_lr", "fit_residual", "val_mean", "silo_val_mean", "test_mean", "test_std"),
    *("silo_test_mean", "silo_test_std", "difference", "difference_low", "difference_high"),
    *("pairs", "num_values", "num_diverged", "steps", "seconds", "silo_steps", "silo_seconds"),
)


def summary_rows(search: OracleSearch) -> list[dict[str, Any]]:
    """Lists the numbers of the Oracle's tables and figures.

    Args:
        search: Results to list.

    Returns:
        A row a cycle: the Oracle's max_lr, its intervals, whether SILO and the best constant lie
        inside (empty where there is no interval), accuracies in per cent, SILO − Oracle in test
        accuracy with its 95 % interval over ``pairs`` seeds, and what was spent.
    """
    taken = (
        *("cycle", "density", "max_lr", "low", "high", "low_open", "high_open", "gaps"),
        *("se_low", "se_high", "num_values", "num_diverged"),
    )
    columns: dict[str, Any] = {name: search.choices[name] for name in taken}
    columns |= inside_by_cycle(search)
    if search.fit is not None:
        columns["fit_max_lr"] = curve_by_cycle(search.fit, search)
        columns["fit_residual"] = fit_residuals(search.fit, search)
    for part, accuracy in (("", oracle_accuracy), ("silo_", silo_accuracy)):
        columns[f"{part}val_mean"] = over_present(accuracy(search, "val_accuracy")).mean
        test = over_present(accuracy(search, "test_accuracy"))
        columns |= {f"{part}test_mean": test.mean, f"{part}test_std": test.std}
    each, _ = accuracy_differences(search)
    heads = ("difference", "difference_low", "difference_high", "pairs")
    columns |= {head: [paired[index] for paired in each] for index, head in enumerate(heads)}
    for part, table in (("", search.grid), ("silo_", search.silo)):
        for name in ("steps", "seconds"):
            of_cycle = (table[name][table["cycle"] == cycle] for cycle in columns["cycle"])
            columns[f"{part}{name}"] = [float(np.nansum(values)) for values in of_cycle]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def inside_by_cycle(search: OracleSearch) -> dict[str, Floats]:
    """Tells by cycle whether SILO, and the best constant, lie inside the intervals.

    NaN in cycles that SILO has not reached or that have no interval.
    """
    columns = {"silo_max_lr": by_cycle(search, search.silo, "max_lr")}
    for part in ("", "se_"):
        silo, low, high = silo_and_intervals(search, part)
        met = is_inside(silo, low, high)
        columns[f"{part}inside"] = np.where(np.isfinite(low), met, np.nan)
    _, low, high = silo_and_intervals(search)
    best = best_constant(low, high)
    if best is not None:
        constant = np.full(low.shape, best.middle)
        columns["constant"] = constant
        met = is_inside(constant, low, high)
        columns["constant_inside"] = np.where(np.isfinite(low), met, np.nan)
    return columns
