"""The report of a directory of results."""

from importlib import import_module
from os import PathLike
from pathlib import Path

from silo_jax.reporting.reading import read_object
from silo_jax.reporting.run_page import write_run_report

# By the kind of a study: the module and function that write its report.
_STUDIES = {
    "comparison": ("silo_jax.reporting.comparison", "write_comparison_report"),
    "oracle": ("silo_jax.reporting.oracle", "write_oracle_report"),
    "tune": ("silo_jax.reporting.oracle", "write_tune_report"),
    "premise": ("silo_jax.reporting.premise", "write_premise_report"),
}


def write_report(workdir: str | PathLike[str]) -> Path:
    """Writes ``figures/*.png`` and ``report.html`` from the result files of a run or a study.

    Args:
        workdir: Folder of the results: of a run, see `read_run`; or of a study, whose study.json
            has its kind: comparison, oracle, tune or premise.

    Returns:
        The path of report.html, a page that needs no other file.

    Raises:
        ValueError: If a result file is missing, empty or malformed.
    """
    folder = Path(workdir)
    study = folder / "study.json"
    if not study.exists():
        return write_run_report(folder)
    kind = read_object(study).get("kind")
    if kind not in _STUDIES:
        raise ValueError(f"{study}: kind is {kind!r}; allowed: {', '.join(_STUDIES)}")
    module, function = _STUDIES[kind]
    path: Path = getattr(import_module(module), function)(folder)
    return path
