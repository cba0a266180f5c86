"""Learning-rate schedules for iterative pruning: a shape within a cycle, times a peak per cycle."""

from silo_jax.schedules import shapes
from silo_jax.schedules.cycles import cycle_schedule, silo_schedule
from silo_jax.schedules.peaks import s_curve, silo_peaks, silo_peaks_from_sparsity

__all__ = [
    "cycle_schedule",
    "s_curve",
    "shapes",
    "silo_peaks",
    "silo_peaks_from_sparsity",
    "silo_schedule",
]
