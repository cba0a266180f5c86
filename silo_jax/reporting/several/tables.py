"""The tables of several runs: results, and in what the runs differ."""

import numpy as np

from silo_jax.reporting.aggregate import format_percent, format_spread
from silo_jax.reporting.facts import run_facts
from silo_jax.reporting.page import Strong, Table, dotted
from silo_jax.reporting.several.runs import Runs, densities, test_accuracy

_NONE = "–"


def accuracy_table(runs: Runs) -> Table:
    """Builds density × run: test accuracy, the best of each row in bold."""
    stats = {name: test_accuracy(run) for name, run in runs.by_name.items()}
    rows = []
    for density in densities(runs):
        cells, means = [], []
        for name, found in stats.items():
            place = np.flatnonzero(found.keys == density.cycles.get(name, -1))
            mean, std = (part[place[0]] if place.size else np.nan for part in found[1:3])
            cells.append(format_spread(mean, std) if place.size else _NONE)
            means.append(mean)
        is_shared = len(density.cycles) > 1 and np.isfinite(means).any()
        best = np.nanmax(means) if is_shared else np.nan
        marked = [
            Strong(cell) if mean == best else cell for cell, mean in zip(cells, means, strict=True)
        ]
        rows.append([format_percent(density.mean), *marked])
    return Table(["density %", *stats], rows)


def config_table(runs: Runs) -> Table:
    """Builds the table of the config fields in which the runs differ."""
    return _differing(_configs(runs), every=False)


def shared_config(runs: Runs) -> dict[str, str]:
    """The config fields that are the same in all runs."""
    first, *others = _configs(runs).values()
    return {
        field: value
        for field, value in first.items()
        if all(other.get(field) == value for other in others)
    }


def _configs(runs: Runs) -> dict[str, dict[str, str]]:
    return {name: dict(dotted(run.config)) for name, run in runs.by_name.items()}


def facts_table(runs: Runs) -> Table:
    """Builds the table of what was run: seeds, duration, versions, devices and commits."""
    facts = {
        name: run_facts(run.config, run.environment, float(np.nansum(run.metrics["seconds"])))
        for name, run in runs.by_name.items()
    }
    return _differing(facts, every=True)


def _differing(columns: dict[str, dict[str, str]], *, every: bool) -> Table:
    """Sets fields side by side, a row a field; without ``every`` only those that differ."""
    fields = dict.fromkeys(field for column in columns.values() for field in column)
    rows = []
    for field in fields:
        values = [column.get(field, _NONE) for column in columns.values()]
        if every or len(set(values)) > 1:
            rows.append([field, *values])
    return Table(["", *columns], rows, names=True, wraps=True)
