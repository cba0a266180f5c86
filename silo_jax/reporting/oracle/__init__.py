"""The reports of searches of max_lr: the Oracle in every cycle, and two that tune the bounds."""

from silo_jax.reporting.oracle.page import write_oracle_report
from silo_jax.reporting.oracle.results import OracleSearch, read_oracle
from silo_jax.reporting.oracle.tables import oracle_table
from silo_jax.reporting.oracle.tune import earlier_summary, write_tune_report

__all__ = [
    "OracleSearch",
    "earlier_summary",
    "oracle_table",
    "read_oracle",
    "write_oracle_report",
    "write_tune_report",
]
