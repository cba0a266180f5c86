"""Flax linen networks, and a registry of them by name."""

from silo_jax.models.registry import MODELS, create_model, model_options

__all__ = ["MODELS", "create_model", "model_options"]
