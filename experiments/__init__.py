"""Entry points: flags, then one call into silo_jax."""
