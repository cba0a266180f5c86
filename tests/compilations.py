"""Which programs XLA compiles, in whatever thread."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Names of the functions compiled while it is entered, one for each compilation."""
    names: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: names.extend(
        re.findall(r"Finished XLA compilation of jit\((\w+)\)", record.getMessage())
    )
    before = jax.config.jax_log_compiles
    logging.getLogger("jax").addHandler(handler)
    jax.config.update("jax_log_compiles", True)
    try:
        yield names
    finally:
        jax.config.update("jax_log_compiles", before)
        logging.getLogger("jax").removeHandler(handler)
