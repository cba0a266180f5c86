"""What the directory of a study holds: which study it is, and how many of its cells are done."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from silo_jax.reporting.inspection import inspect_run, make_table, next_lines
from silo_jax.reporting.reading import read_config, read_csv, read_object

# Whether each cell that was begun is done, by the first part of the cells' directories: an option
# of a comparison, a cycle of a search.
Cells = dict[str, list[bool]]


def study_line(directory: Path) -> str:
    """Which study it is, and of what.

    Raises:
        ValueError: If study.json or config.json cannot be read; one line.
    """
    study, config = read_object(directory / "study.json"), read_config(directory / "config.json")
    parts = [str(config[part]["name"]) for part in ("data", "model")]
    seeds = ", ".join(map(str, config["seeds"]))
    return " · ".join([str(study.get("kind", "study")), *parts, f"seeds {seeds}"])


def study_table(directory: Path) -> Table:
    """The cells that are done, by option or cycle."""
    study, config = read_object(directory / "study.json"), read_config(directory / "config.json")
    planned = _planned(study, len(config["seeds"]))
    cells: Cells = {option: [] for option in study.get("options", ())} if planned else {}
    for path in sorted((directory / "cells").rglob("metrics.jsonl")):
        name = path.relative_to(directory / "cells").parts[0]
        cells.setdefault(name, []).append(_is_done(path, name, config["pruning"]["num_cycles"]))
    table = make_table("cells", "work", "done", "begun", *(["planned"] if planned else []))
    total = [done for group in cells.values() for done in group]
    for name, group, works in (*((n, g, 1) for n, g in cells.items()), ("all", total, len(cells))):
        more = [str(planned * works)] if planned else []
        table.add_row(name, str(sum(group)), str(len(group)), *more)
    return table


def study_lines(directory: Path) -> list[str]:
    """How far the run of a study has come that has one, and what was measured on it."""
    run = directory / "run"
    if not run.is_dir():
        return []
    study, seeds = read_object(directory / "study.json"), read_config(run / "config.json")["seeds"]
    path, kinds = directory / "cycles.csv", {"seed": int, "cycle": int}
    has_rows = path.exists() and path.read_text(errors="replace").count("\n") > 1
    measured = read_csv(path, kinds, ("seed", "cycle"))["seed"].size if has_rows else 0
    planned = len(study.get("cycles", ())) * len(seeds)
    return [f"measured: {measured} of {planned} cycles of its run", *next_lines(inspect_run(run))]


def _planned(study: Mapping[str, Any], num_seeds: int) -> int:
    """The cells of each option of a comparison; 0 where only what is found decides how many."""
    if study.get("kind") != "comparison":
        return 0
    max_lrs, choosing = study.get("max_lrs", []), len(study.get("tuning_seeds", ()))
    is_settled = study.get("hindsight") and choosing in (0, num_seeds)
    return max(1, len(max_lrs)) * num_seeds if is_settled or not max_lrs else 0


def _is_done(metrics: Path, name: str, num_cycles: int) -> bool:
    """Whether a cell has diverged, has reached its last cycle's end, or was left there."""
    lines = [
        line for line in metrics.read_text(errors="replace").splitlines(True) if line[-1] == "\n"
    ]
    if not lines:
        return False
    try:
        row = json.loads(lines[-1])
    except ValueError:
        raise ValueError(f"{metrics}: is damaged") from None
    of_search = re.fullmatch(r"cycle_(\d+)", name)
    last = int(of_search[1]) if of_search else num_cycles - 1
    reached = bool(row.get("ends_cycle")) and row.get("cycle") == last
    return "diverged" in row or reached or (metrics.parent / "state_dropped").exists()
