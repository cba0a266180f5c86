"""Checks of arguments: one clear line that names the field, the value and what is allowed."""

import operator
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import jax
import numpy as np


def require(name: str, value: Any, is_allowed: Callable[[np.ndarray], Any], allowed: str) -> None:
    """Raises ValueError unless every element is allowed; a traced value is let through."""
    if isinstance(value, jax.core.Tracer):
        return
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {value!r}; allowed: numbers {allowed}") from None
    within = np.broadcast_to(is_allowed(array), array.shape)
    if not within.all():
        raise ValueError(f"{name}: {array[~within].flat[0]:g}; allowed: {allowed}")


def require_int(name: str, value: int, *, minimum: int) -> None:
    """Raises ValueError unless the value is a Python or NumPy integer of at least ``minimum``."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < minimum:
        raise ValueError(f"{name}: {value!r}; allowed: an integer of at least {minimum}")


def require_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises ValueError unless the value is one of the choices, offering the nearest."""
    choices = sorted(choices)
    if value in choices:
        return
    near = get_close_matches(str(value), choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{name}: {value!r}; allowed: {', '.join(choices)}{hint}")
