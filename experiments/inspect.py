"""``python -m experiments.inspect``: see `silo_jax.cli.inspect`."""

from silo_jax.cli.main import start

if __name__ == "__main__":
    start("inspect")
