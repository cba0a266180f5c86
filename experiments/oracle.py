"""``python -m experiments.oracle``: see `silo_jax.cli.oracle`."""

from silo_jax.cli.main import start

if __name__ == "__main__":
    start("oracle")
