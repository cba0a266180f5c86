"""What a user adds to the experiments: a config names it as ``package.module:name``."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def is_imported(name: Any) -> bool:
    """Whether a name is one to import.

    Example:
      >>> is_imported("my_package.networks:Net"), is_imported("cifar10:3.0.2")
      (True, False)
    """
    module, _, attribute = str(name).partition(":")
    return all(part.isidentifier() for part in (*module.split("."), attribute))


def imported(field: str, name: str) -> Callable[..., Any]:
    """The class or function of a name such as ``my_package.networks:Net``.

    Args:
      field: of the config, for the message.
      name: one for which `is_imported` is true.

    Raises:
      ValueError: it cannot be imported, or is not callable; one line.

    Example:
      >>> imported("schedule.shape", "silo_jax.schedules.shapes:cosine_decay").__name__
      'cosine_decay'
    """
    module, _, attribute = name.partition(":")
    allowed = "allowed: MODULE:NAME of a class or function that can be imported"
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # whatever a module of the user's raises
        raise ValueError(f"{field}: {name!r}; {allowed} ({error})") from error
    if not callable(found):
        raise ValueError(f"{field}: {name!r} is of type {type(found).__name__}; {allowed}")
    return found
