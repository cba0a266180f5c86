"""Networks looked at without computing them: shapes, sizes and operations."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from silo_jax.models.conv import Conv

KEY = jax.random.key(0)
DIGITS, GREY, COLOUR = (8, 8, 1), (28, 28, 1), (32, 32, 3)


def draw(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def shapes(model, image_shape):
    """The shapes of the variables; nothing is computed."""
    return jax.eval_shape(model.init, KEY, jnp.zeros((1, *image_shape)))


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def random_variables(model, image_shape):
    """Random kernels, and all else as it is initially; linen's initialisers compile for seconds."""

    def fill(path, leaf):
        if path[-1].key == "kernel":
            return draw(*leaf.shape) / np.sqrt(leaf.size / leaf.shape[-1])
        return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes(model, image_shape))


def operations(model, image_shape, *names):
    """The operations of these names in the forward pass, in order."""
    variables = shapes(model, image_shape)
    return [
        equation
        for equation in _equations(
            jax.make_jaxpr(model.apply)(variables, jnp.zeros((1, *image_shape)))
        )
        if equation.primitive.name in names
    ]


def windows(model, image_shape):
    """How many convolutions there are of each (side of the kernel, stride)."""
    found = Counter()

    def note(call, arguments, options, context):
        if isinstance(context.module, Conv) and context.method_name == "__call__":
            found[context.module.kernel_size[0], context.module.strides] += 1
        return call(*arguments, **options)

    with nn.intercept_methods(note):
        shapes(model, image_shape)
    return found


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        parts = jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")
        )
        for part in parts:
            if hasattr(part, "eqns"):
                yield from _equations(part)
