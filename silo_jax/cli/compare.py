"""Compares learning-rate schedules, or the values of a field, under one protocol with seeds.

    python -m experiments.compare --config=configs/quickstart.py --workdir=runs/compare
    python -m experiments.compare --config=configs/quickstart.py --workdir=runs/rewinding \\
        --along=rewind.policy --values=weights,lr,finetune,reinit

Every schedule is run with every max_lr of a grid and with every seed of the config; the same
command goes on where it was stopped, and takes up further seeds, schedules and max_lr.
"""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from absl import flags

from silo_jax.cli import launchers
from silo_jax.cli.flags import Flag, exit_on_bad_input, parse_flags
from silo_jax.cli.messages import output

_FLAGS = {
    "along": Flag(flags.DEFINE_string, "schedule", "FIELD", "what differs: schedule, or a field"),
    "values": Flag(flags.DEFINE_string, "", "A,B,…", "its values beside the config's own"),
    "schedules": Flag(flags.DEFINE_string, "", "A,B,…", "the schedules to compare; by default all"),
    "max_lrs": Flag(flags.DEFINE_string, "", "A,B,…", "grid of the dense network's max_lr"),
    "hindsight": Flag(
        flags.DEFINE_bool, True, "BOOL", "whether every max_lr is run through all cycles"
    ),
    "tuning_seeds": Flag(
        flags.DEFINE_integer, 0, "N", "seeds that choose max_lr, the first ones; 0 for all"
    ),
    **launchers.FLAGS,
}


def main(argv: list[str]) -> None:
    values = parse_flags(argv, _FLAGS)
    # Only now, so that wrong flags are answered at once.
    from silo_jax.reporting import write_report
    from silo_jax.reporting.comparison import comparison_table, read_comparison
    from silo_jax.studies.comparison import check_comparison, run_comparison
    from silo_jax.training.run import checked_experiment
    from silo_jax.training.study import hold_study

    workdir = Path(values["workdir"])
    with ExitStack() as stack:
        with exit_on_bad_input():
            experiment = checked_experiment(values["config"], split_batches=False)
            comparison = _comparison(experiment, values)
            check_comparison(experiment, comparison)
            study = hold_study(
                workdir,
                values["config"],
                comparison.described(),
                fixed=("kind", "along"),
                may_change=("seeds",),
                shared=True,
            )
            stack.enter_context(study)
        cycles = comparison.cycles_to_train(experiment.num_cycles, len(experiment.config.seeds))
        launcher = stack.enter_context(launchers.launching(values, experiment, workdir, cycles))
        if not run_comparison(launcher, comparison):
            sys.exit("every network diverged in its first cycle")
        page = write_report(workdir)
    console = output()
    console.print(comparison_table(read_comparison(workdir)))
    console.print(f"report: {page}", highlight=False, soft_wrap=True)


def _comparison(experiment: Any, values: dict[str, Any]) -> Any:
    from silo_jax.studies.candidates import compare_schedules, compare_values

    if values["along"] == "schedule":
        if values["values"]:
            raise ValueError("--values: given; allowed: with --along=FIELD, else --schedules")
        return compare_schedules(
            experiment,
            schedules=[name for name in values["schedules"].split(",") if name],
            max_lrs=launchers.parse_numbers("max_lrs", values["max_lrs"]),
            hindsight=values["hindsight"],
            tuning_seeds=values["tuning_seeds"],
        )
    for name in ("schedules", "max_lrs", "tuning_seeds"):
        if values[name]:
            raise ValueError(f"--{name}: given; allowed: with --along=schedule")
    texts = [text for text in values["values"].split(",") if text]
    return compare_values(experiment, values["along"], texts)
