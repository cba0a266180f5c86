"""Trees of many kinds around the same two leaves."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
from flax import nnx
from flax.core import freeze


class Pair(NamedTuple):
    weight: Any
    bias: Any


class Layer(eqx.Module):
    weight: Any
    bias: Any
    activation: Any = jax.nn.relu
    rate: float = 0.1


WRAPPERS = {
    "dict": lambda weight, bias: {"layer": {"kernel": weight, "bias": bias}},
    "FrozenDict": lambda weight, bias: freeze({"layer": {"kernel": weight, "bias": bias}}),
    "list": lambda weight, bias: [weight, (bias, 3, None)],
    "NamedTuple": lambda weight, bias: Pair(weight, bias),
    "equinox": lambda weight, bias: [Layer(weight, bias)],
    "nnx": lambda weight, bias: nnx.State(
        {"layer": nnx.State({"kernel": nnx.Param(weight), "bias": nnx.Param(bias)})}
    ),
}
