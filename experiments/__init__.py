"""Entry points, such as `python -m experiments.run`: the commands of `silo_jax.cli`."""
