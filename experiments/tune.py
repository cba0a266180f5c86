"""``python -m experiments.tune``: see `silo_jax.cli.tune`."""

from silo_jax.cli.main import start

if __name__ == "__main__":
    start("tune")
