"""Measures SILO's premise: as a network is pruned, gradients and representations grow narrower.

    python -m experiments.premise --config=configs/quickstart.py --workdir=runs/premise

Every seed of the config is trained up to the last chosen cycle, as by experiments.run, in
``DIR/run``. At each chosen cycle the widths of gradients and of hidden representations are measured
on the same images at its initialisation, after its warm-up and at its end. The same command goes on
where it was stopped.

Exit status: as that of experiments.run.
"""

from contextlib import ExitStack
from pathlib import Path

from absl import flags
from rich.console import Console

from silo_jax.cli.flags import Flag, exit_on_bad_input, parse_flags
from silo_jax.cli.launchers import QUIET, parse_integers
from silo_jax.cli.session import exit_when_done, session

_FLAGS = {
    "cycles": Flag(
        flags.DEFINE_string, "", "A,B,…", "to measure; by default all of up to 10, else 8 of them"
    ),
    "num_images": Flag(flags.DEFINE_integer, 512, "N", "training images to measure on", 1),
    **QUIET,
}


def main(argv: list[str]) -> None:
    values = parse_flags(argv, _FLAGS)
    # Only now, so that wrong flags are answered at once.
    from silo_jax.reporting import write_report
    from silo_jax.reporting.premise import has_measurements, premise_table, read_premise
    from silo_jax.studies.premise import measure_premise, prepared_premise
    from silo_jax.training.interrupts import StopRequest

    workdir, console = Path(values["workdir"]), Console()
    with session(), ExitStack() as stack:
        with exit_on_bad_input():
            premise = stack.enter_context(
                prepared_premise(
                    values["config"],
                    workdir,
                    cycles=parse_integers("cycles", values["cycles"]),
                    num_images=values["num_images"],
                )
            )
        stop = stack.enter_context(StopRequest().listening())
        given_up = measure_premise(premise, Console(stderr=True, quiet=values["quiet"]), stop)
        if has_measurements(workdir):
            page = write_report(workdir)
            console.print(premise_table(read_premise(workdir)))
            console.print(f"report: {page}", highlight=False, soft_wrap=True)
    exit_when_done(given_up)
