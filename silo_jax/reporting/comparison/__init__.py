"""The report of a comparison: options × seeds under one protocol."""

from silo_jax.reporting.comparison.page import write_comparison_report
from silo_jax.reporting.comparison.results import Comparison, read_comparison
from silo_jax.reporting.comparison.tables import comparison_table

__all__ = ["Comparison", "comparison_table", "read_comparison", "write_comparison_report"]
