"""The order of layers, against the order in which the networks were made to use them."""

from functools import partial

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental import pallas

from silo_jax import apply_masks, init_masks
from silo_jax.models import create_model
from silo_jax.pruning.layer_order import layer_order
from silo_jax.pruning.masks import named_leaves

KEY, WIDTH = jax.random.key(0), 4


def zeros_like(shapes):
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def kernels_called(model, variables, inputs):
    """Paths of the kernels in the order of the modules' calls, as Flax tells them."""
    called = []

    def note(call, arguments, options, context):
        if context.module.has_variable("params", "kernel"):
            called.append("/".join((*context.module.path, "kernel")))
        return call(*arguments, **options)

    with nn.intercept_methods(note):
        jax.eval_shape(model.apply, variables, inputs)
    return called


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(
    ("name", "options"),
    [("mlp", {"hidden": (5,) * 11}), ("lenet5", {}), ("resnet20", {"shortcut": "projection"})],
)
def test_networks_of_the_registry_use_their_kernels_in_the_order_of_calls(
    name, options, batch_size
):
    model = create_model(name, num_classes=3, **options)
    images = jnp.zeros((batch_size, 16, 16, 1))
    variables = jax.eval_shape(model.init, KEY, images)
    rest = zeros_like({"batch_stats": variables.get("batch_stats", {})})
    order = layer_order(
        lambda params: model.apply({"params": params, **rest}, images), variables["params"]
    )
    assert order == kernels_called(model, variables, images)
    kernels = [path for path, _ in named_leaves(variables["params"]) if path.endswith("kernel")]
    assert sorted(order) == sorted(kernels)


def dense(x, layer):
    return jnp.tanh(x @ layer["kernel"] + layer["bias"])


@jax.custom_jvp
def dense_custom_jvp(x, layer):
    return dense(x, layer)


@dense_custom_jvp.defjvp
def _(primals, tangents):
    return jax.jvp(dense, primals, tangents)


@jax.custom_vjp
def dense_custom_vjp(x, layer):
    return dense(x, layer)


dense_custom_vjp.defvjp(partial(jax.vjp, dense), lambda pullback, gradient: pullback(gradient))


def dense_scanned(x, layer):
    return jax.lax.scan(lambda x, _: (dense(x, layer), None), x, length=2)[0]


def dense_while(x, layer):
    """With an operand of the condition and one of the body."""
    limit = jnp.sum(x)
    return jax.lax.while_loop(lambda x: jnp.sum(x) < limit, lambda x: dense(x, layer), x)


def dense_if(x, layer):
    return jax.lax.cond(jnp.sum(x) > 0, lambda x: x, lambda x: dense(x, layer), x)


WAYS = {
    "plain": dense,
    "jit": jax.jit(dense),
    "checkpoint": jax.checkpoint(dense),
    "custom_jvp": dense_custom_jvp,
    "custom_vjp": dense_custom_vjp,
    "scan": dense_scanned,
    "while": dense_while,
    "cond": dense_if,
    "einsum": lambda x, layer: jnp.einsum("oi,bi->bo", layer["kernel"].T, x) + layer["bias"],
}


def standardised(params):
    return jax.tree.map(lambda leaf: (leaf - jnp.mean(leaf, 0)) / (1 + jnp.std(leaf, 0)), params)


def of_unit_norm(params):
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)))
    return jax.tree.map(lambda leaf: leaf / norm, params)


PREPARED = {
    "not": lambda params: params,
    "cast": lambda params: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params),
    "masked": lambda params: apply_masks(params, init_masks(params)),
    "jitted": jax.jit(lambda params: jax.tree.map(lambda leaf: leaf * 0.5, params)),
    "reshaped": lambda params: jax.tree.map(lambda leaf: leaf.ravel().reshape(leaf.shape), params),
    "standardised": standardised,
    "of unit norm": of_unit_norm,
}


def make_params(names):
    return {name: {"kernel": jnp.ones((WIDTH, WIDTH)), "bias": jnp.ones(WIDTH)} for name in names}


@given(
    st.permutations([f"Dense_{i}" for i in range(12)]),
    st.lists(st.sampled_from(sorted(WAYS)), min_size=12, max_size=12),
    st.sampled_from(sorted(PREPARED)),
    st.sampled_from([1, 2, WIDTH]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_layers_come_as_used_whatever_their_names_and_how_they_are_called(
    names, ways, prepared, batch_size
):
    def function(params):
        params, x = PREPARED[prepared](params), jnp.ones((batch_size, WIDTH))
        for name, way in zip(names, ways, strict=True):
            x = WAYS[way](x, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params[name]))
        return x

    expected = [f"{name}/kernel" for name in names]
    assert layer_order(function, make_params(names)) == expected


def test_low_rank_updates_belong_to_the_layer_that_they_change():
    params = make_params("ab")
    for layer in params.values():
        layer.update(down=jnp.ones((WIDTH, 1)), up=jnp.ones((1, WIDTH)))

    def function(params):
        for layer in params.values():
            layer["kernel"] += layer["down"] @ layer["up"]
        return dense(dense(jnp.ones((2, WIDTH)), params["b"]), params["a"])

    order = layer_order(function, params)
    assert [path[0] for path in order] == ["b"] * 3 + ["a"] * 3


def test_parts_of_a_kernel_and_kernels_joined():
    params = {"heads": jnp.ones((4, 8)), "left": jnp.ones((4, 2)), "first": jnp.ones((3, 4))}

    def function(params):
        query, key = jnp.split(params["heads"], 2, axis=1)
        joined = jnp.concatenate([params["left"], query], axis=1)
        x = jnp.ones((2, 3)) @ params["first"]
        return x @ joined, x @ key

    assert layer_order(function, params) == ["first", "left", "heads"]


def test_stacked_layers_of_a_scan_come_between_their_neighbours():
    params = {"a_last": jnp.ones((4, 2)), "b_blocks": make_params("x"), "c_first": jnp.ones((3, 4))}
    params["b_blocks"] = jax.tree.map(lambda leaf: jnp.stack([leaf] * 5), params["b_blocks"])

    def function(params):
        x = jnp.ones((1, 3)) @ params["c_first"]
        x, _ = jax.lax.scan(lambda x, block: (dense(x, block["x"]), None), x, params["b_blocks"])
        return x @ params["a_last"]

    assert layer_order(function, params) == ["c_first", "b_blocks/x/kernel", "a_last"]


class Transformer(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        table = nn.Embed(8, 4, name="z_embed")
        x = table(tokens) + self.param("position", nn.initializers.ones, (1, 8, 4))
        x = x + nn.MultiHeadDotProductAttention(num_heads=2, name="y_attention")(nn.LayerNorm()(x))
        x = nn.RNN(nn.OptimizedLSTMCell(4, name="w_cell"), name="w")(x)
        return table.attend(nn.Dense(4, name="a_dense")(x))


@pytest.mark.parametrize("batch_size", [1, 8])
def test_embeddings_attention_and_recurrent_layers(batch_size):
    tokens = jnp.zeros((batch_size, 8), int)
    params = jax.eval_shape(Transformer().init, KEY, tokens)["params"]
    order = layer_order(lambda params: Transformer().apply({"params": params}, tokens), params)
    attention = [f"y_attention/{part}/kernel" for part in ("query", "key", "value", "out")]
    assert order[:5] == ["z_embed/embedding", *attention]
    assert all(path.startswith("w_cell/") for path in order[5:-1])
    assert len(order[5:-1]) == 8
    assert order[-1] == "a_dense/kernel"


class Perceptron(nnx.Module):
    def __init__(self, rngs):
        self.a_last = nnx.Linear(4, 2, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.z_first = nnx.Linear(3, 4, rngs=rngs)

    def __call__(self, x):
        return self.a_last(self.dropout(nnx.relu(self.z_first(x))))


def test_the_state_of_an_nnx_module():
    graph, state = nnx.split(Perceptron(nnx.Rngs(0)))
    order = layer_order(lambda state: nnx.merge(graph, state)(jnp.ones((1, 3))), state)
    assert [path.split("/")[:2] for path in order] == [["z_first", "kernel"], ["a_last", "kernel"]]


class Equinox(eqx.Module):
    activation: object
    a_last: eqx.nn.Linear
    norm: eqx.nn.LayerNorm
    rate: float
    z_first: eqx.nn.Conv2d

    def __call__(self, image):
        x = self.norm(self.activation(self.z_first(image)) * self.rate)
        return self.a_last(x.ravel())


@pytest.mark.parametrize("wrap", [lambda f: f, eqx.filter_jit, eqx.filter_checkpoint])
def test_an_equinox_module_with_functions_and_biases_of_three_dimensions(wrap):
    keys = jax.random.split(KEY)
    module = Equinox(
        jax.nn.relu,
        eqx.nn.Linear(12, 2, key=keys[0]),
        eqx.nn.LayerNorm((3, 2, 2)),
        0.5,
        eqx.nn.Conv2d(1, 3, 1, key=keys[1]),
    )
    assert module.z_first.bias.ndim == 3
    expected = ["z_first/weight", "a_last/weight"]
    single, batch = jnp.ones((1, 2, 2)), jnp.ones((5, 1, 2, 2))
    assert layer_order(lambda module: wrap(module.__call__)(single), module) == expected
    assert layer_order(lambda module: jax.vmap(wrap(module))(batch), module) == expected


@pytest.mark.parametrize(
    "transform", [jax.jit, jax.checkpoint, lambda f: jax.grad(lambda params: jnp.sum(f(params)))]
)
def test_a_whole_network_transformed(transform):
    model, images = create_model("lenet5", num_classes=3), jnp.ones((1, 16, 16, 1))
    params = jax.eval_shape(model.init, KEY, images)["params"]
    order = layer_order(transform(lambda params: model.apply({"params": params}, images)), params)
    assert order == [f"Conv_{i}/kernel" for i in range(2)] + [f"Dense_{i}/kernel" for i in range(3)]


def test_what_enters_a_kernel_of_pallas_is_used_there():
    def matmul(x_ref, kernel_ref, out_ref):
        out_ref[...] = x_ref[...] @ kernel_ref[...]

    def function(params):
        out = jax.ShapeDtypeStruct((2, WIDTH), jnp.float32)
        call = pallas.pallas_call(matmul, out_shape=out, interpret=True)
        return call(call(jnp.ones((2, WIDTH)), params["b"]["kernel"]), params["a"]["kernel"])

    assert layer_order(function, make_params("abc")) == ["b/kernel", "a/kernel"]


def test_what_is_no_layer_does_not_appear():
    params = {
        "added": jnp.ones((2, 3)),
        "counts": jnp.ones((3, 3), int),
        "last": jnp.ones((3, 3)),
        "matrix": np.ones((3, 3), np.float32),
        "none": None,
        "unused": jnp.ones((3, 3)),
        "vector": jnp.ones(3),
    }

    def function(params):
        x = jnp.ones((1, 3)) @ params["matrix"] + params["added"]
        x = jax.lax.cond(jnp.sum(x) > 0, lambda: 1.0, lambda: 2.0) * x
        return x @ params["counts"] @ params["last"] @ params["vector"]

    assert layer_order(function, params) == ["matrix", "last"]
    assert layer_order(lambda params: params, params) == []
