"""The report of a directory of results."""

from os import PathLike
from pathlib import Path

from silo_jax.reporting.run_page import write_run_report


def write_report(workdir: str | PathLike[str]) -> Path:
    """Writes figures/*.png and report.html from the result files of a directory.

    Args:
        workdir: Folder of the results; see `read_run` for the files in it.

    Returns:
        The path of report.html, a page that needs no other file.

    Raises:
        ValueError: If a result file is missing, empty or malformed.
    """
    return write_run_report(workdir)
