"""``python -m experiments.export``: see `silo_jax.cli.export`."""

from silo_jax.cli.main import start

if __name__ == "__main__":
    start("export")
