"""Finds SILO's bounds by two small searches of max_lr, in place of an Oracle at every cycle.

    python -m experiments.tune --config=configs/quickstart.py --workdir=runs/tune

``lower`` is the best max_lr of the dense network; ``upper`` that of the network which is pruned in
one shot to the density of the config's last cycle, from the winner of the dense one. With
``--oracle=DIR`` it says how far the S-curve between them is from what an Oracle search has chosen.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from absl import flags

from silo_jax.cli import launchers
from silo_jax.cli.flags import Flag, exit_on_bad_input, parse_flags
from silo_jax.cli.messages import output
from silo_jax.cli.oracle import GRID_FLAGS, hold_oracle, oracle_study, print_lines

_FLAGS = {
    **GRID_FLAGS,
    "oracle": Flag(flags.DEFINE_string, None, "DIR", "an Oracle search to compare with"),
    **launchers.FLAGS,
}


def main(argv: list[str]) -> None:
    values = parse_flags(argv, _FLAGS)
    # Only now, so that wrong flags are answered at once.
    from silo_jax.files import write_json
    from silo_jax.reporting import write_report
    from silo_jax.reporting.oracle import earlier_summary, oracle_table, read_oracle
    from silo_jax.studies.oracle import check_oracle
    from silo_jax.studies.oracle_results import run_oracle
    from silo_jax.studies.tuning import found_bounds, one_shot, read_choices, s_curve_between
    from silo_jax.training.run import checked_experiment

    workdir, chosen = Path(values["workdir"]), None
    with ExitStack() as stack:
        with exit_on_bad_input():
            experiment = checked_experiment(values["config"], split_batches=False)
            if values["oracle"]:
                chosen = read_choices(Path(values["oracle"]), values["config"])
            two_cycles = one_shot(experiment)
            study = oracle_study(values, "tune", experiment)
            check_oracle(two_cycles, study.grid)
            stack.enter_context(hold_oracle(workdir, values["config"], study))
        cycles = 2 * len(experiment.config.seeds) * study.grid.most_values
        launcher = stack.enter_context(launchers.launching(values, two_cycles, workdir, cycles))
        choices = run_oracle(launcher, study)
        bounds = found_bounds(choices)
        if chosen is not None and bounds is not None:
            told = {"choices": chosen, "curve": s_curve_between(experiment, *bounds)}
            write_json(workdir / "oracle.json", told)
        page = write_report(workdir)
    console, search = output(), read_oracle(workdir)
    console.print(oracle_table(search))
    if bounds is not None:
        print_lines(dict(zip(("lower", "upper"), bounds, strict=True)))
    if distance := earlier_summary(search):
        print(distance)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    if bounds is None:
        print(f"every max_lr diverged in cycle {choices[-1].cycle}", file=sys.stderr)
    sys.exit(0 if bounds else 1)
