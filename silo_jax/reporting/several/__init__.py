"""The report of several runs side by side."""

from silo_jax.reporting.several.page import write_runs_report

__all__ = ["write_runs_report"]
