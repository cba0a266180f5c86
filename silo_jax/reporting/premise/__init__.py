"""The report of a measurement of the premise: widths of gradients and representations."""

from silo_jax.reporting.premise.page import write_premise_report
from silo_jax.reporting.premise.results import Premise, has_measurements, read_premise
from silo_jax.reporting.premise.tables import premise_table

__all__ = [
    "Premise",
    "has_measurements",
    "premise_table",
    "read_premise",
    "write_premise_report",
]
