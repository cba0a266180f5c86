"""Masks over any pytree of weights, and pruning that takes exactly as many as it is asked to."""

from silo_jax.pruning.criteria import CRITERIA
from silo_jax.pruning.masks import apply_masks, init_masks, layer_counts, sparsity
from silo_jax.pruning.optimizer import masked
from silo_jax.pruning.prune import SCOPES, prune

__all__ = [
    "CRITERIA",
    "SCOPES",
    "apply_masks",
    "init_masks",
    "layer_counts",
    "masked",
    "prune",
    "sparsity",
]
