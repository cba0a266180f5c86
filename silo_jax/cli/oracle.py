"""Searches max_lr by grid at every cycle, and says how SILO's max_lr lies beside what it finds.

    python -m experiments.oracle --config=configs/quickstart.py --workdir=runs/oracle --fit

At each cycle every max_lr is trained from the same masks and the same rewind point, with every seed
of the config; the best by mean validation accuracy wins, and the next cycle starts from there. The
same command goes on where it was stopped. With ``--fit`` the S-curve closest to the choices is
found, too.
"""

import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from absl import flags

from silo_jax.checks import require_choice
from silo_jax.cli import launchers
from silo_jax.cli.flags import Flag, exit_on_bad_input, parse_flags
from silo_jax.cli.messages import output

GRID_FLAGS = {
    "max_lrs": Flag(flags.DEFINE_string, "", "A,B,…", "values to try, in place of num_values"),
    "num_values": Flag(
        flags.DEFINE_integer,
        7,
        "N",
        "values from a quarter of the smaller bound to twice the larger",
        2,
    ),
    "scale": Flag(flags.DEFINE_string, "log", "log|linear", "their spacing"),
    "refinements": Flag(
        flags.DEFINE_integer, 1, "N", "how often two values are added beside the best one", 0
    ),
    "tolerance": Flag(
        flags.DEFINE_float,
        0.5,
        "POINTS",
        "width of the Oracle interval: percentage points below the best",
        0.0,
    ),
}
_FITTED = ("lower", "upper", "steepness", "delay")
_FLAGS = {
    **GRID_FLAGS,
    "fit": Flag(flags.DEFINE_bool, False, "", "fit the S-curve to what was chosen"),
    **launchers.FLAGS,
}


def main(argv: list[str]) -> None:
    values = parse_flags(argv, _FLAGS)
    # Only now, so that wrong flags are answered at once.
    from silo_jax.reporting import write_report
    from silo_jax.reporting.oracle import oracle_table, read_oracle
    from silo_jax.studies.oracle import check_oracle
    from silo_jax.studies.oracle_results import run_oracle, run_silo, write_fit
    from silo_jax.training.run import checked_experiment

    workdir, fit = Path(values["workdir"]), None
    with ExitStack() as stack:
        with exit_on_bad_input():
            experiment = checked_experiment(values["config"], split_batches=False)
            study = oracle_study(values, "oracle", experiment)
            check_oracle(experiment, study.grid)
            if values["fit"] and experiment.num_cycles < 5:
                raise ValueError(
                    f"--fit: with {experiment.num_cycles} cycles; allowed: with 5 or more"
                )
            stack.enter_context(hold_oracle(workdir, values["config"], study))
        tried = 1 + study.grid.most_values  # with SILO's own max_lr
        cycles = experiment.num_cycles * len(experiment.config.seeds) * tried
        launcher = stack.enter_context(launchers.launching(values, experiment, workdir, cycles))
        run_silo(launcher)
        choices = run_oracle(launcher, study)
        is_whole = choices[-1].best is not None
        if values["fit"] and is_whole:
            fit = write_fit(workdir, choices)
        page = write_report(workdir)
    console = output()
    console.print(oracle_table(read_oracle(workdir)))
    if fit is not None:
        told = f"relative residuals {fit.rms:.3f} rms, of the best constant {fit.constant_rms:.3f}"
        print(f"the S-curve closest to the choices ({told}):")
        print_lines({name: getattr(fit, name) for name in _FITTED})
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    if not is_whole:
        print(f"every max_lr diverged in cycle {choices[-1].cycle}", file=sys.stderr)
    sys.exit(0 if is_whole else 1)


def oracle_study(values: dict[str, Any], kind: str, experiment: Any) -> Any:
    """The search that the flags describe, around the config's bounds."""
    from silo_jax.studies.oracle import Grid, make_grid
    from silo_jax.studies.oracle_results import OracleStudy

    require_choice("--scale", values["scale"], ("log", "linear"))
    if not math.isfinite(values["tolerance"]):
        raise ValueError(f"--tolerance: {values['tolerance']}; allowed: finite")
    schedule, spacing = experiment.config.schedule, (values["scale"], values["refinements"])
    max_lrs = launchers.parse_numbers("max_lrs", values["max_lrs"])
    if max_lrs:
        grid = Grid(tuple(sorted(set(max_lrs))), *spacing)
    else:
        for name in ("lower", "upper"):
            if schedule[name] <= 0:
                raise ValueError(f"schedule.{name}: {schedule[name]}; allowed: above 0 for a grid")
        bounds = (schedule.lower, schedule.upper)
        grid = make_grid(*bounds, values["num_values"], *spacing)
    return OracleStudy(grid, values["tolerance"], kind)


def hold_oracle(workdir: Path, config: Any, study: Any) -> Any:
    """The directory of a search, which is to keep its grid; only the tolerance may change."""
    from silo_jax.training.study import hold_study

    fixed = ("kind", "max_lrs", "scale", "refinements")
    return hold_study(workdir, config, study.described(), fixed=fixed, shared=True)


def print_lines(fields: dict[str, Any]) -> None:
    """Prints fields of the schedule as a config file sets them."""
    for name, value in fields.items():
        print(f"    config.schedule.{name} = {value:.4g}")
