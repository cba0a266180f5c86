"""Tables, figures and one HTML page from the result files of a run.

The package reads files only: a report can be made on any machine, without JAX or the training code.
"""

from silo_jax.reporting.report import write_report
from silo_jax.reporting.results import RunResults, has_results, read_run
from silo_jax.reporting.table import results_table

__all__ = ["RunResults", "has_results", "read_run", "results_table", "write_report"]
