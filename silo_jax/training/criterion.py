"""The criterion of a run by its name, with what it looks at beside the weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from silo_jax.imported import imported, is_imported
from silo_jax.pruning import criteria

PyTree = Any
Criterion = str | Callable[[PyTree], PyTree]

CRITERIA = ("magnitude", "movement", "magnitude_movement", "random")
_MOVEMENTS = {
    "movement": criteria.movement,
    "magnitude_movement": criteria.magnitude_movement,
}


def needs_reference(criterion: Criterion) -> bool:
    """Whether the criterion looks at the weights as they were at the start of the epoch."""
    return criterion in _MOVEMENTS


def criterion_of_run(criterion: Criterion, *, reference: PyTree, key: jax.Array) -> Criterion:
    """What `silo_jax.prune` takes as the criterion.

    Args:
      criterion: one of ``CRITERIA``, ``module:name`` of a function from weights to scores, or such
        a function, which is handed back.
      reference: the weights at the start of the epoch, where the criterion needs them.
      key: for "random", a fresh one for every pruning.
    """
    if criterion == "random":
        return partial(criteria.random, key=key)
    if isinstance(criterion, str) and criterion in _MOVEMENTS:
        return partial(_MOVEMENTS[criterion], reference=reference)
    if is_imported(criterion):
        return imported("pruning.criterion", str(criterion))
    return criterion
