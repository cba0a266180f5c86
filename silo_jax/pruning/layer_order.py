"""The order in which data meets the layers of a network, read from its trace and not from names."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from silo_jax.checks import shown
from silo_jax.pruning.masks import is_prunable_array, named_leaves, require_arrays

PyTree = Any

# Where the weights of a layer act; biases, scales and positions are added or multiplied instead.
_LAYERS = {"dot_general", "conv_general_dilated", "ragged_dot", "ragged_dot_general", "gather"}
# Parameters of equations that hold what is computed inside (jit, remat, custom_vjp, scan, cond, …).
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr", "body_jaxpr", "branches")

# The leaves that a value is made of; none where it comes from no leaf; None once it has passed a
# layer, and is data.
Origin = tuple[str, ...] | None


def layer_order(function: Callable[[PyTree], Any], params: PyTree) -> list[str]:
    """The weights of the layers, in the order in which a network first uses them.

    The weights of a layer are the floating-point leaves of two or more dimensions that enter a
    matrix product, a convolution or an embedding's look-up. What is made of weights alone before
    (casts, masks, transposes, slices, normalised or low-rank weights) is followed and does not
    count as the use, wherever it stands. Biases and scales are no layers; neither is a leaf that is
    not used in this way, and it does not appear. The function is traced and never run.

    Args:
      function: from ``params`` to the network's outputs, with the inputs closed over, say
        ``lambda params: model.apply({"params": params}, images)``.
      params: tree of arrays or of their shapes (`jax.eval_shape`); leaves that are no arrays are
        handed on as they are.

    Returns:
      Paths, the input's layer first.

    Raises:
      ValueError: no function, or params that hold no array.

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import layer_order
      >>> params = {"a": {"w": jnp.ones((4, 2)), "b": jnp.ones(2)}, "z": {"w": jnp.ones((3, 4))}}
      >>> layer_order(lambda p: jnp.ones((1, 3)) @ p["z"]["w"] @ p["a"]["w"] + p["a"]["b"], params)
      ['z/w', 'a/w']
    """
    if not callable(function):
        raise ValueError(f"function: {shown(function)}; allowed: a function of params")
    require_arrays("params", params)
    leaves, structure = jax.tree.flatten(params)
    is_array = [hasattr(leaf, "dtype") and hasattr(leaf, "shape") for leaf in leaves]

    def of_arrays(arrays: list[jax.Array]) -> Any:
        rest = iter(arrays)
        filled = [next(rest) if a else leaf for a, leaf in zip(is_array, leaves, strict=True)]
        return function(jax.tree.unflatten(structure, filled))

    arrays = [leaf for a, leaf in zip(is_array, leaves, strict=True) if a]
    jaxpr = jax.make_jaxpr(of_arrays)(arrays).jaxpr
    origins: list[Origin] = [
        (path,) if is_prunable_array(leaf) and leaf.ndim >= 2 else ()
        for a, (path, leaf) in zip(is_array, named_leaves(params), strict=True)
        if a
    ]
    order: dict[str, None] = {}
    _walk(jaxpr, origins, order)
    return list(order)


def _walk(jaxpr: Jaxpr, inputs: Sequence[Origin], order: dict[str, None]) -> list[Origin]:
    """Appends the layers of a jaxpr to the order; returns where its outputs come from."""
    origins: dict[Any, Origin] = dict(zip(jaxpr.invars, inputs, strict=True))

    def origin(atom: Any) -> Origin:
        return () if isinstance(atom, Literal) else origins.get(atom, ())

    for equation in jaxpr.eqns:
        outputs = _outputs(equation, [origin(atom) for atom in equation.invars], order)
        origins.update(zip(equation.outvars, outputs, strict=True))
    return [origin(atom) for atom in jaxpr.outvars]


def _outputs(
    equation: JaxprEqn, operands: list[Origin], order: dict[str, None]
) -> Sequence[Origin]:
    data: list[Origin] = [None] * len(equation.outvars)
    name = equation.primitive.name
    bodies = _bodies(equation)
    if bodies and all(_corresponds(body, equation) for body in bodies):
        # The operands before the last ones are a cond's index and a while's own condition's.
        results = [
            _walk(body, operands[len(operands) - len(body.invars) :], order) for body in bodies
        ]
        return [_union(origins) for origins in zip(*results, strict=True)]
    of_weights_alone = all(operands)
    if bodies or (name in _LAYERS and not of_weights_alone):
        order.update(dict.fromkeys(path for origin in operands for path in origin or ()))
        return data
    if None in operands:
        return data
    if name in _LAYERS or name == "concatenate":
        return [_union(operands)]
    # What is smaller than the result, a bias or a statistic, is spread over it and not its origin.
    sizes = [_size(atom) for atom in equation.invars]
    return [
        _union([o for o, size in zip(operands, sizes, strict=True) if size >= _size(out)])
        for out in equation.outvars
    ]


def _bodies(equation: JaxprEqn) -> list[Jaxpr]:
    held = [equation.params[name] for name in _BODIES if name in equation.params]
    bodies = [body for item in held for body in (item if isinstance(item, tuple) else (item,))]
    return [getattr(body, "jaxpr", body) for body in bodies if hasattr(body, "eqns")]


def _corresponds(body: Jaxpr, equation: JaxprEqn) -> bool:
    """Whether the body's inputs are the last operands, and its outputs the equation's."""
    fits = len(body.invars) <= len(equation.invars)
    return fits and len(body.outvars) == len(equation.outvars)


def _union(origins: Sequence[Origin]) -> Origin:
    if None in origins:
        return None
    return tuple(dict.fromkeys(path for origin in origins for path in origin or ()))


def _size(atom: Any) -> int:
    return math.prod(getattr(atom.aval, "shape", ()))
