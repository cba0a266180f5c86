"""SILO in JAX: learning-rate schedules and masks for training networks while pruning them."""

from silo_jax.loading import load
from silo_jax.pruning import (
    apply_masks,
    criteria,
    init_masks,
    layer_order,
    masked,
    prune,
    prune_and_report,
    prune_channels,
    prune_n_m,
    sparsity,
)
from silo_jax.schedules import (
    cycle_schedule,
    plans,
    report_schedule,
    s_curve,
    shapes,
    silo_peaks,
    silo_peaks_from_sparsity,
    silo_schedule,
    with_warmup,
)

__version__ = "0.1.0"

__all__ = [
    "apply_masks",
    "criteria",
    "cycle_schedule",
    "init_masks",
    "layer_order",
    "load",
    "masked",
    "plans",
    "prune",
    "prune_and_report",
    "prune_channels",
    "prune_n_m",
    "report_schedule",
    "s_curve",
    "shapes",
    "silo_peaks",
    "silo_peaks_from_sparsity",
    "silo_schedule",
    "sparsity",
    "with_warmup",
]
