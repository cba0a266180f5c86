"""Masks over any pytree of weights, and pruning that takes exactly as many as it is asked to."""

from silo_jax.pruning import criteria
from silo_jax.pruning.allocation import SCOPES
from silo_jax.pruning.channels import prune_channels
from silo_jax.pruning.criteria import CRITERIA
from silo_jax.pruning.layer_order import layer_order
from silo_jax.pruning.layers import LayerReport
from silo_jax.pruning.masks import apply_masks, init_masks, layer_counts, sparsity
from silo_jax.pruning.n_m import prune_n_m
from silo_jax.pruning.optimizer import masked
from silo_jax.pruning.prune import prune, prune_and_report

__all__ = [
    "CRITERIA",
    "SCOPES",
    "LayerReport",
    "apply_masks",
    "criteria",
    "init_masks",
    "layer_counts",
    "layer_order",
    "masked",
    "prune",
    "prune_and_report",
    "prune_channels",
    "prune_n_m",
    "sparsity",
]
