"""The report of a directory of results."""

from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from silo_jax.reporting.reading import has_rows, read_object
from silo_jax.reporting.run_page import write_run_report

_OF_RUN = ("config.json", "cycles.csv", "metrics.jsonl")


class _Study(NamedTuple):
    """The module and function that write the report of a kind of study, and its tables of results.

    There is something to report once one of these has a row.
    """

    module: str
    function: str
    tables: tuple[str, ...]


_STUDIES = {
    "comparison": _Study(
        "silo_jax.reporting.comparison", "write_comparison_report", ("cells.csv",)
    ),
    "oracle": _Study("silo_jax.reporting.oracle", "write_oracle_report", ("silo.csv", "grid.csv")),
    "tune": _Study("silo_jax.reporting.oracle", "write_tune_report", ("grid.csv",)),
    "premise": _Study("silo_jax.reporting.premise", "write_premise_report", ("cycles.csv",)),
}


def write_report(workdir: str | PathLike[str]) -> Path:
    """Writes ``report.html``, ``figures/*.png`` and ``*.csv`` of a run or study, finished or not.

    Args:
        workdir: Folder of the results: of a run, see `read_run`; or of a study, whose study.json
            has its kind: comparison, oracle, tune or premise.

    Returns:
        The path of report.html, a page that needs no other file.

    Raises:
        ValueError: If there are no results yet, or a result file is missing or malformed.
    """
    folder = Path(workdir)
    kind = kind_of(folder)
    if kind == "run":
        if not has_rows(folder / "cycles.csv") and not _has_text(folder / "metrics.jsonl"):
            raise ValueError(f"{folder}: no results yet, as no epoch of the run is finished")
        return write_run_report(folder)
    study = _STUDIES[kind]
    if not any(has_rows(folder / name) for name in study.tables):
        raise ValueError(f"{folder}: no results yet, as {_waiting(folder, kind)}")
    path: Path = getattr(import_module(study.module), study.function)(folder)
    return path


def kind_of(folder: Path) -> str:
    """What a directory holds: "run", or the kind of a study.

    Raises:
        ValueError: If it holds neither.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: is no directory; allowed: that of a run or of a study")
    if not (folder / "study.json").exists():
        if not any((folder / name).exists() for name in _OF_RUN):
            raise ValueError(f"{folder}: holds no results; allowed: that of a run or of a study")
        return "run"
    kind = read_object(folder / "study.json").get("kind")
    if kind not in _STUDIES:
        allowed = ", ".join(_STUDIES)
        raise ValueError(f"{folder / 'study.json'}: kind is {kind!r}; allowed: {allowed}")
    return str(kind)


def _has_text(path: Path) -> bool:
    return path.exists() and "\n" in path.read_text(errors="replace")


def _waiting(folder: Path, kind: str) -> str:
    """What a study still waits for."""
    run = folder / "run"
    if kind != "premise":
        return "no network has finished a cycle"
    if has_rows(run / "cycles.csv"):
        return f"no cycle is measured; its run can be reported: {run}"
    return "no cycle is measured"
