"""``python -m experiments.report``: see `silo_jax.cli.report`."""

from silo_jax.cli.main import start

if __name__ == "__main__":
    start("report")
