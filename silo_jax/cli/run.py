"""Trains and prunes a network as a config says, and reports.

    python -m experiments.run --config=configs/quickstart.py --workdir=runs/quickstart

Any field is changed by ``--config.FIELD=VALUE``. The same command on the same directory goes on
where it was stopped. With another config, ``--workdir=NEW --fork=OLD`` takes the cycles that every
seed has finished in OLD over into a new directory, and goes on from there.

On several hosts the same command is started on each, with ``--distributed`` on TPU pods and under
Slurm, or else with ``--coordinator=HOST:PORT --num_processes=N --process_id=I``.

Exit status: 0 when the run is complete; 1 when it failed, or a seed diverged; 2 when the input is
wrong; 130 or 143 when it was stopped by SIGINT (Ctrl-C) or SIGTERM, with its state saved.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from silo_jax.cli.flags import Flag, exit_on_bad_input, parse_flags
from silo_jax.cli.launchers import QUIET
from silo_jax.cli.session import exit_when_done, session

_PROCESSES = ("coordinator", "num_processes", "process_id")
_FLAGS = {
    "fork": Flag(flags.DEFINE_string, None, "DIR", "run whose finished cycles are taken over"),
    "tensorboard": Flag(
        flags.DEFINE_bool, False, "", "writes event files for TensorBoard, DIR/tensorboard"
    ),
    **QUIET,
    "distributed": Flag(
        flags.DEFINE_bool, False, "", "one of several processes, which find each other"
    ),
    "coordinator": Flag(flags.DEFINE_string, None, "HOST:PORT", "process 0 of several"),
    "num_processes": Flag(flags.DEFINE_integer, None, "N", "how many there are", 1),
    "process_id": Flag(flags.DEFINE_integer, None, "I", "of this one, from 0", 0),
}


def main(argv: list[str]) -> None:
    values = parse_flags(argv, _FLAGS)
    with exit_on_bad_input():
        processes = _processes(values)
    # Only now, so that wrong flags are answered at once.
    from silo_jax.distributed import is_primary, join
    from silo_jax.reporting import read_run, results_table
    from silo_jax.training.events import require_tensorboard
    from silo_jax.training.interrupts import StopRequest
    from silo_jax.training.loop import run_seeds
    from silo_jax.training.run import prepared

    with exit_on_bad_input():
        if values["tensorboard"]:
            require_tensorboard()
        if processes is not None:
            join(**processes)
    workdir, console = Path(values["workdir"]), Console(quiet=not is_primary())
    display = Console(stderr=True, quiet=values["quiet"] or not is_primary())
    with session(), ExitStack() as stack:
        with exit_on_bad_input():
            run = prepared(values["config"], workdir, source=values["fork"])
            experiment = stack.enter_context(run)
        stop = stack.enter_context(StopRequest().listening())
        given_up = run_seeds(experiment, workdir, display, stop, tensorboard=values["tensorboard"])
        report = _report(workdir) if is_primary() else None
    if report is not None:
        console.print(results_table(read_run(workdir)))
        console.print(f"report: {report}", highlight=False, soft_wrap=True)
    exit_when_done(given_up)


def _processes(values: dict[str, Any]) -> dict[str, Any] | None:
    """How the processes find each other; an empty dict leaves it to the cluster to tell."""
    if values["fork"] == "":
        raise ValueError("--fork: missing; allowed: --fork=PATH")
    given = {name: values[name] for name in _PROCESSES}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given) and not values["distributed"]:
        return None
    if values["fork"]:
        raise ValueError(f"--fork: {values['fork']}; allowed: with a single process only")
    if len(missing) == len(given):
        return {}
    if values["distributed"]:
        raise ValueError(f"--distributed: given; allowed: without --{', --'.join(_PROCESSES)}")
    if missing:
        raise ValueError(f"--{missing[0]}: missing; allowed: --{', --'.join(_PROCESSES)} together")
    if given["process_id"] >= given["num_processes"]:
        raise ValueError(
            f"--process_id: {given['process_id']}; allowed: below the {given['num_processes']} of "
            "--num_processes"
        )
    return given


def _report(workdir: Path) -> Path | None:
    """Writes the report, if a cycle is finished."""
    from silo_jax.reporting import has_results, write_report

    try:
        return write_report(workdir) if has_results(workdir) else None
    except ValueError as error:
        raise OSError(str(error)) from error
