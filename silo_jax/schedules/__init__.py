"""Learning-rate schedules for iterative pruning: a shape within a cycle, times a peak per cycle."""

from silo_jax.schedules import plans, shapes
from silo_jax.schedules.cycles import cycle_schedule, silo_schedule
from silo_jax.schedules.peaks import s_curve, silo_peaks, silo_peaks_from_sparsity
from silo_jax.schedules.report import report_schedule
from silo_jax.schedules.warmup import with_warmup

__all__ = [
    "cycle_schedule",
    "plans",
    "report_schedule",
    "s_curve",
    "shapes",
    "silo_peaks",
    "silo_peaks_from_sparsity",
    "silo_schedule",
    "with_warmup",
]
