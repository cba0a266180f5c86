"""What a run has left in its directory, for comparing two runs, and how one is stopped."""

import csv
import json
import signal

from silo_jax.checkpoint import Checkpoints
from silo_jax.training.experiment import load_experiment
from silo_jax.training.interrupts import StopRequest


def rows_of(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def without_times(workdir) -> dict:
    """The result files, but for how long things took."""
    metrics = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    timed = {"seconds", "images_per_second"}
    tables = [metrics, rows_of(workdir / "cycles.csv"), rows_of(workdir / "layers.csv")]
    cleaned = [[{k: v for k, v in row.items() if k not in timed} for row in t] for t in tables]
    return {"tables": cleaned, "config": json.loads((workdir / "config.json").read_text())}


def final_states(workdir, config) -> list:
    experiment, states = load_experiment(config), []
    for seed in config.seeds:
        checkpoints = Checkpoints(
            (workdir / "checkpoints" / f"seed_{seed}").absolute(),
            steps_per_cycle=experiment.lengths.steps_per_cycle,
        )
        like = experiment.create_state(seed)
        kept = range(0, experiment.num_steps, experiment.lengths.steps_per_cycle)
        steps = [step + experiment.lengths.steps_per_cycle for step in kept]
        states.extend(checkpoints.restore(like, step) for step in steps)
        checkpoints.close()
    return states


class StopAfter(StopRequest):
    """As if the process were asked to stop when it has looked so many times."""

    def __init__(self, num_looks: int) -> None:
        self.looks_left = num_looks

    def interruptibly(self, act):
        return act()

    @property
    def signum(self) -> int | None:
        self.looks_left -= 1
        return signal.SIGTERM if self.looks_left < 0 else None
