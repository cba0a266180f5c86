"""Which programs XLA compiles, in whatever thread, and a way to compile each once."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

# JAX 0.6.0 came back from a kept program of an epoch with a state that was not trained.
READS_WHAT_IT_KEEPS = jax.__version_info__ >= (0, 7)


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


@contextmanager
def compiled_once(directory: Path) -> Iterator[None]:
    """Has XLA keep its programs in a directory while it is entered, and read them from there."""
    if not READS_WHAT_IT_KEEPS:
        yield
        return
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        for name, value in zip(names, (str(directory), 0.0), strict=True):
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
