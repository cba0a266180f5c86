"""``python -m experiments.premise``: see `silo_jax.cli.premise`."""

from silo_jax.cli.main import start

if __name__ == "__main__":
    start("premise")
