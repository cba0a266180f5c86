"""The Vision Transformer against NumPy: sizes, logits, initial weights, refusals, pruning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax import init_masks
from silo_jax.models import create_model
from silo_jax.models.vit import ViT
from silo_jax.pruning import layer_counts, layer_order
from silo_jax.training.state import create_state, start_cycle
from silo_jax.training.step import DeviceSplit, train_step
from tests.refusals import refused
from tests.tiny import STEPS_PER_CYCLE, tiny_data, tiny_recipe

TINY = ViT(5, patch_size=2, width=12, depth=2, num_heads=3, mlp_dim=20)
KEY = jax.random.key(0)


def shapes(model, image_shape):
    return jax.eval_shape(model.init, KEY, jnp.zeros((1, *image_shape)))["params"]


def drawn(model, image_shape, seed=0):
    """Weights that are all random, those that start at 0 or 1 as well."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: random.normal(0, 0.3, leaf.shape).astype(np.float32),
        shapes(model, image_shape),
    )


def logits_of(model, params, images):
    return jax.jit(model.apply)({"params": params}, images)


def images_of(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


# Sizes


@pytest.mark.parametrize(
    ("name", "width", "depth", "patch_size", "side", "num_classes", "published"),
    [
        ("vit_ti16", 192, 12, 16, 224, 1000, 5_717_416),
        ("vit_s16", 384, 12, 16, 224, 1000, 22_050_664),
        ("vit_b16", 768, 12, 16, 224, 1000, 86_567_656),
        ("vit_cifar", 192, 6, 4, 32, 10, 2_693_578),
    ],
)
def test_numbers_of_parameters(name, width, depth, patch_size, side, num_classes, published):
    params = shapes(create_model(name, num_classes=num_classes), (side, side, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == published

    counts = layer_counts(init_masks(params, ViT.prunable))
    matrices = depth * (4 * width**2 + 2 * width * 4 * width) + width * num_classes
    assert sum(size for size, _ in counts.values()) == matrices
    biases_and_scales = depth * (4 + 1 + 4 + 4) * width + 2 * width + num_classes
    positions = (side // patch_size) ** 2 + 1
    embedding = (3 * patch_size**2 + 1) * width
    assert matrices + biases_and_scales + (positions + 1) * width + embedding == published


# Logits


def statement(params, images, patch_size, num_heads):
    """The network in NumPy, one image and one head at a time."""
    return np.stack([_of_image(params, image, patch_size, num_heads) for image in images])


def _of_image(params, image, size, num_heads):
    rows, columns = image.shape[0] // size, image.shape[1] // size
    pixels = [
        image[row * size : (row + 1) * size, column * size : (column + 1) * size].ravel()
        for row in range(rows)
        for column in range(columns)
    ]
    x = np.vstack([params["cls"][0], _dense(params["embedding"], np.array(pixels))])
    x = x + params["pos_embedding"][0]
    for index in range(sum(name.startswith("block_") for name in params)):
        block = params[f"block_{index}"]
        x = x + _attention(block["attention"], _normed(block["LayerNorm_0"], x), num_heads)
        y = _dense(block["Dense_0"], _normed(block["LayerNorm_1"], x))
        y = y / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        x = x + _dense(block["Dense_1"], y)
    return _dense(params["head"], _normed(params["encoder_norm"], x)[0])


def _attention(params, x, num_heads):
    outs = []
    size = x.shape[1] // num_heads
    for head in range(num_heads):
        own = slice(head * size, (head + 1) * size)
        query, key, value = (_dense(params[n], x)[:, own] for n in ("query", "key", "value"))
        weights = np.exp(query @ key.T / np.sqrt(size))
        outs.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return _dense(params["out"], np.hstack(outs))


def _dense(params, x):
    return x @ params["kernel"].astype(float) + params["bias"]


def _normed(params, x):
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
    return (x - x.mean(axis=1, keepdims=True)) / deviation * params["scale"] + params["bias"]


@pytest.mark.parametrize("image_shape", [(4, 4, 3), (6, 2, 1)])
def test_logits_are_those_of_numpy(image_shape):
    params, images = drawn(TINY, image_shape), images_of(3, *image_shape)
    logits = logits_of(TINY, params, images)
    assert (logits.shape, logits.dtype) == ((3, 5), jnp.float32)
    np.testing.assert_allclose(logits, statement(params, images, 2, 3), rtol=1e-4, atol=1e-4)


def test_bfloat16_computes_coarsely_from_float32_weights():
    coarse = TINY.clone(dtype="bfloat16")
    params, images = drawn(TINY, (4, 4, 3)), images_of(3, 4, 4, 3)
    assert shapes(coarse, (4, 4, 3)) == shapes(TINY, (4, 4, 3))
    logits, exact = (logits_of(model, params, images) for model in (coarse, TINY))
    assert logits.dtype == jnp.float32
    assert 1e-4 < np.abs(logits - exact).max() < 0.05 * np.abs(exact).max()


# Initial weights


def test_initial_weights():
    model = ViT(5, patch_size=4, width=32, depth=1, num_heads=2, mlp_dim=64)
    params = jax.jit(model.init)(KEY, jnp.zeros((1, 32, 32, 3)))["params"]
    block = params["block_0"]
    layers = [*block["attention"].values(), block["Dense_0"], block["Dense_1"]]
    for kernel in (layer["kernel"] for layer in layers):
        bound = np.sqrt(6 / sum(kernel.shape))
        assert 0.98 * bound < np.abs(kernel).max() <= bound
        assert np.std(kernel) == pytest.approx(bound / np.sqrt(3), rel=0.1)
    embedding = params["embedding"]["kernel"]
    assert np.std(embedding) == pytest.approx(1 / np.sqrt(48), rel=0.1)
    assert np.std(params["pos_embedding"]) == pytest.approx(0.02, rel=0.1)
    assert 0 < np.abs(block["Dense_0"]["bias"]).max() < 1e-5
    for zero in (params["cls"], params["head"]["kernel"], block["attention"]["query"]["bias"]):
        assert not np.any(zero)


def test_only_the_head_has_a_gradient_while_it_is_zero():
    params = drawn(TINY, (4, 4, 3)) | {"head": {"kernel": jnp.zeros((12, 5)), "bias": jnp.zeros(5)}}

    def loss(params):
        return TINY.apply({"params": params}, images_of(2, 4, 4, 3))[:, 0].sum()

    grads = jax.jit(jax.grad(loss))(params)
    assert np.any(grads.pop("head")["kernel"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads))


# Refusals


@pytest.mark.parametrize("image_shape", [(9, 8, 3), (8, 10, 3), (2, 8, 3)])
def test_images_have_to_be_filled_by_patches(image_shape):
    side = f"{image_shape[0]}×{image_shape[1]}"
    with pytest.raises(ValueError, match=r"^images for vit") as caught:
        shapes(ViT(10), image_shape)
    assert str(caught.value) == f"images for vit: {side}; allowed: multiples of the patch_size 4"


@pytest.mark.parametrize("name", ["patch_size", "width", "depth", "num_heads", "mlp_dim"])
@pytest.mark.parametrize("value", [0, -3, 4.0, True, None])
def test_sizes_have_to_be_counts(name, value):
    with refused(f"model.{name}", repr(value), "an integer of at least 1"):
        ViT(10, **{name: value})


def test_other_refusals():
    with refused("model.num_heads", 5, "a divisor of the width 192"):
        ViT(10, num_heads=5)
    with refused("model.dtype", "'float16'", "bfloat16, float32"):
        ViT(10, dtype="float16")
    with refused("model.checkpoint", None, "a path, or ''"):
        ViT(10, checkpoint=None)
    with refused("model.new_head", 1, "True or False"):
        ViT(10, new_head=1)
    with refused("option of vit_b16", "'depth'"):
        create_model("vit_b16", num_classes=10, depth=3)


# Pruning


def test_layers_are_found_in_their_order():
    params = shapes(TINY, (4, 4, 3))
    order = layer_order(lambda p: TINY.apply({"params": p}, jnp.zeros((1, 4, 4, 3))), params)
    assert order[0] == "embedding/kernel"
    prunable = layer_counts(init_masks(params, ViT.prunable))
    assert set(order[1:]) == set(prunable)
    assert order[-1] == "head/kernel"
    assert len(order) == 2 + 6 * TINY.depth


def test_a_cycle_prunes_and_the_next_one_leaves_the_pruned_at_zero():
    model = ViT(3, patch_size=2, width=8, depth=1, num_heads=2, mlp_dim=16)
    recipe, data = tiny_recipe(model=model, prune_fraction=0.5), tiny_data()
    state = create_state(
        model,
        recipe.optimizer,
        seed=0,
        image_shape=(4, 4, 1),
        peaks=[0.1, 0.1, 0.1],
        prunable=model.prunable,
    )
    step = jax.jit(train_step, static_argnums=0)
    before = state.params
    for _ in range(STEPS_PER_CYCLE):
        state, sums = step(recipe, state, DeviceSplit(data.images[:8], data.labels[:8]))
    assert np.isfinite(sums.loss)
    moved = jax.tree.map(lambda a, b: a.ndim == 1 or np.any(a != b), state.params, before)
    assert all(jax.tree.leaves(moved))

    counts = layer_counts(state.next_masks)
    total = 4 * 8**2 + 2 * 8 * 16 + 8 * 3
    assert sum(size for size, _ in counts.values()) == total
    assert sum(kept for _, kept in counts.values()) == total // 2
    state = start_cycle(state, recipe.optimizer, params=state.params, batch_stats=state.batch_stats)
    state, _ = step(recipe, state, DeviceSplit(data.images[:8], data.labels[:8]))
    pruned = jax.tree.map(lambda leaf, mask: np.any(leaf[~mask]), state.params, state.masks)
    assert not any(jax.tree.leaves(pruned))
