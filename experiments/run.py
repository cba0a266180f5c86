"""Trains and prunes a network as a config says, and reports.

    python -m experiments.run --config=configs/quickstart.py --workdir=runs/quickstart

Any field is changed by ``--config.FIELD=VALUE``. The same command on the same directory goes on
where it was stopped. Exit status: 0 when the run is complete, 1 when it was stopped or failed,
2 when the input is wrong.
"""

import logging
import sys
from pathlib import Path

from rich.console import Console

from experiments.flags import exit_on_bad_input, parse_flags


def main(argv: list[str]) -> None:
    values = parse_flags(argv)
    # Only now, so that wrong flags are answered at once.
    from silo_jax.reporting import read_run, results_table, write_report
    from silo_jax.training.loop import run_seeds
    from silo_jax.training.run import prepare

    with exit_on_bad_input():
        experiment = prepare(values["config"], values["workdir"])
    workdir = Path(values["workdir"])
    run_seeds(experiment, workdir, Console(stderr=True))
    report = write_report(workdir)
    console = Console()
    console.print(results_table(read_run(workdir)))
    console.print(f"report: {report}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        main(sys.argv)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the last finished epoch")
