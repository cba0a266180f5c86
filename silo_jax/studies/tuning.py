"""SILO's bounds by two small searches: on the dense network, and on one pruned in one shot."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from silo_jax.studies.candidates import policy_fields
from silo_jax.studies.oracle import PROGRAM, Choice
from silo_jax.training.config import rewind_policies
from silo_jax.training.experiment import Experiment
from silo_jax.training.workdir import differences, earlier_config

_MAY_DIFFER = ("seeds", *(f"schedule.{name}" for name in ("name", "lower", "upper", "peaks")))


def one_shot(experiment: Experiment) -> Experiment:
    """The same experiment in two cycles: dense, and pruned at once to the last cycle's density.

    Raises:
      ValueError: it has a single cycle, so that nothing is pruned.
    """
    num_cycles, fraction = experiment.num_cycles, experiment.config.pruning.fraction
    if num_cycles < 2:
        raise ValueError(f"pruning.num_cycles: {num_cycles}; allowed: 2 or more, to tune both ends")
    policy = rewind_policies(experiment.config)[-1]
    return experiment.with_fields(
        {
            **PROGRAM,
            **policy_fields(policy),
            "pruning.num_cycles": 2,
            "pruning.fraction": 1 - (1 - fraction) ** (num_cycles - 1),
        }
    )


def found_bounds(choices: Sequence[Choice]) -> tuple[float, float] | None:
    """SILO's bounds, lower and upper; None where every max_lr of one search has diverged."""
    best = [choice.best.max_lr for choice in choices if choice.best is not None]
    return (best[0], best[1]) if len(best) == 2 else None


def s_curve_between(experiment: Experiment, lower: float, upper: float) -> list[float]:
    """SILO's max_lr of each cycle of the experiment, with bounds of its own."""
    return experiment.with_fields(
        {
            "schedule.name": "silo",
            "schedule.peaks": (),
            "schedule.lower": lower,
            "schedule.upper": upper,
        }
    ).peaks


def read_choices(directory: Path, config: ConfigDict) -> list[dict[str, Any]]:
    """What an Oracle search has chosen by cycle, with its interval.

    Args:
      directory: of the search.
      config: that of the search has to be the same, but for the schedule's bounds and the seeds.

    Raises:
      ValueError: there is no such search, or it is of another config, or damaged; one line.
    """
    names = ("max_lr", "low", "high")
    try:
        kind = json.loads((directory / "study.json").read_text())["kind"]
        changed = differences(earlier_config(directory), config, may_change=_MAY_DIFFER)
        if kind != "oracle" or changed:
            raise ValueError("; ".join(changed) or kind)
        with (directory / "choices.csv").open(newline="") as file:
            return [
                {"cycle": int(row["cycle"])}
                | {name: float(row[name]) if row[name] else math.nan for name in names}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"--oracle: {directory}; allowed: the directory of an Oracle search of the same config "
            f"({reason})"
        ) from None
