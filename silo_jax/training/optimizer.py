"""Optimizers by name. They give the direction of a step; the schedule gives its length."""

from typing import Any

import optax

from silo_jax.pruning import masked

OPTIMIZERS = ("sgd", "adamw")


def make_optimizer(
    name: str, *, weight_decay: float = 0.0, momentum: float = 0.9, nesterov: bool = False
) -> optax.GradientTransformationExtraArgs:
    """The masked direction of a step; the train step multiplies it by −lr.

    Args:
      name: "sgd", with the weight decay added to the gradient (L2), or "adamw", where it is
        decoupled from the moments.
      weight_decay: coefficient, at least 0; on all weights.
      momentum: of sgd; for adamw the decay of the first moment.
      nesterov: whether the momentum is Nesterov's.

    Returns:
      A transformation whose ``update`` takes ``masks`` (see `silo_jax.masked`).
    """
    decay: Any = optax.add_decayed_weights(weight_decay)
    if name == "sgd":
        return masked(optax.chain(decay, optax.trace(momentum, nesterov=nesterov)))
    return masked(optax.chain(optax.scale_by_adam(b1=momentum, nesterov=nesterov), decay))
