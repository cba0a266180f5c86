"""Checks of arguments: one clear line that names the field, the value and what is allowed."""

import operator
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import jax
import numpy as np

_LONGEST_SHOWN = 100


def shown(value: Any) -> str:
    """The value for a message: its ``repr`` in one line, cut where it gets long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def require(name: str, value: Any, is_allowed: Callable[[np.ndarray], Any], allowed: str) -> None:
    """Raises ValueError unless every element is an allowed number; tracers are let through."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        return
    try:
        array = np.asarray(value)
        if array.dtype.kind in "bcmMOSU":
            raise TypeError
        within = np.broadcast_to(is_allowed(array.astype(float)), array.shape)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {shown(value)}; allowed: numbers {allowed}") from None
    if not within.all():
        raise ValueError(f"{name}: {array[~within].flat[0]}; allowed: {allowed}")


def require_int(name: str, value: int, *, minimum: int) -> None:
    """Raises ValueError unless the value is a Python or NumPy integer of at least ``minimum``."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < minimum:
        raise ValueError(f"{name}: {shown(value)}; allowed: an integer of at least {minimum}")


def require_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises ValueError unless the value is one of the choices, offering the nearest."""
    choices = sorted(choices)
    if value in choices:
        return
    near = get_close_matches(str(value), choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{name}: {shown(value)}; allowed: {', '.join(choices) or 'none'}{hint}")
