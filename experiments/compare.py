"""``python -m experiments.compare``: see `silo_jax.cli.compare`."""

from silo_jax.cli.main import start

if __name__ == "__main__":
    start("compare")
