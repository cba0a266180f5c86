"""``python -m experiments.run``: see `silo_jax.cli.run`."""

from silo_jax.cli.main import start

if __name__ == "__main__":
    start("run")
