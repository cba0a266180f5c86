"""SILO in JAX: learning-rate schedules and masks for training networks while pruning them."""

from silo_jax.pruning import apply_masks, init_masks, masked, prune, sparsity
from silo_jax.schedules import (
    cycle_schedule,
    s_curve,
    shapes,
    silo_peaks,
    silo_peaks_from_sparsity,
    silo_schedule,
)

__version__ = "0.1.0"

__all__ = [
    "apply_masks",
    "cycle_schedule",
    "init_masks",
    "masked",
    "prune",
    "s_curve",
    "shapes",
    "silo_peaks",
    "silo_peaks_from_sparsity",
    "silo_schedule",
    "sparsity",
]
