"""Makes the report of a run or a study from its result files, or of several runs side by side.

    python -m experiments.report runs/quickstart
    python -m experiments.report runs/a runs/b --out=runs/a_and_b

Also of what is still going on: the report tells what is there and what is missing. Nothing is
trained, and no result file is changed.

Exit status: 0 when the report is written; 1 when it cannot be; 2 when the input is wrong, or there
are no results yet.
"""

import sys
from pathlib import Path

from absl import flags

from silo_jax.cli.directory import parse_directories
from silo_jax.cli.flags import Flag, exit_on_bad_input
from silo_jax.cli.messages import output

_FLAGS = {
    "out": Flag(flags.DEFINE_string, None, "DIR", "where the report of several runs goes"),
}


def main(argv: list[str]) -> None:
    with exit_on_bad_input():
        directories, out = _parsed(argv)
        # Only now, so that wrong flags are answered at once.
        from silo_jax.reporting import write_report
        from silo_jax.reporting.several import write_runs_report

        try:
            if out is None:
                page = write_report(directories[0])
            else:
                page = write_runs_report(directories, out)
        except OSError as error:
            sys.exit(f"error: {' '.join(str(error).split())}")
    output().print(f"report: {page}", highlight=False, soft_wrap=True)


def _parsed(argv: list[str]) -> tuple[list[Path], Path | None]:
    """The directories, and where the report of several goes."""
    directories, values = parse_directories(argv, "DIR [DIR … --out=DIR]", _FLAGS)
    out = values["out"]
    if not directories:
        raise ValueError("DIR: missing; allowed: the directories of runs, or that of a study")
    if len(directories) == 1 and out is not None:
        raise ValueError(f"--out: {out}; allowed: with several directories")
    if len(directories) > 1 and not out:
        raise ValueError("--out: missing; allowed: --out=DIR, where the report of several goes")
    return directories, None if out is None else Path(out)
