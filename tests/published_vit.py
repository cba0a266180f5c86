"""A Vision Transformer of Flax's own layers, and its weights in the files' layouts."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

CHANNELS, WIDTH, DEPTH, NUM_HEADS, MLP_DIM, PATCH_SIZE = 3, 12, 2, 3, 20, 2


class PublishedViT(nn.Module):
    """The network of which the files hold the weights; its paths are the files' newer names."""

    num_classes: int
    pre_logits: int = 0

    @nn.compact
    def __call__(self, images):
        size = (PATCH_SIZE, PATCH_SIZE)
        x = nn.Conv(WIDTH, size, strides=size, padding="VALID", name="embedding")(images)
        x = x.reshape(len(images), -1, WIDTH)
        cls = self.param("cls", nn.initializers.zeros, (1, 1, WIDTH))
        x = Transformer(name="Transformer")(jnp.concatenate([cls.repeat(len(x), 0), x], axis=1))
        x = x[:, 0]
        if self.pre_logits:
            x = nn.tanh(nn.Dense(self.pre_logits, name="pre_logits")(x))
        return nn.Dense(self.num_classes, name="head")(x)


class Transformer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Positions(name="posembed_input")(x)
        for index in range(DEPTH):
            x = Encoder(name=f"encoderblock_{index}")(x)
        return nn.LayerNorm(name="encoder_norm")(x)


class Positions(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + self.param("pos_embedding", nn.initializers.zeros, (1, *x.shape[1:]))


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=NUM_HEADS)(y, y)
        return x + MlpBlock()(nn.LayerNorm()(x))


class MlpBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.gelu(nn.Dense(MLP_DIM)(x))
        return nn.Dense(WIDTH)(x)


def drawn_entries(model, side):
    """Random weights by the names that AugReg's files have."""
    random = np.random.default_rng(side)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, side, side, CHANNELS)))
    return {
        name: random.normal(0, 0.3, leaf.shape).astype(np.float32)
        for name, leaf in flatten_dict(params["params"], sep="/").items()
    }


def published_logits(model, entries, images):
    return jax.jit(model.apply)({"params": unflatten_dict(entries, sep="/")}, images)


def older(entries):
    """As in ``ViT-B_16.npz``: the parts of a block are numbered through."""
    renamed = {}
    for name, entry in entries.items():
        name = name.replace("LayerNorm_1", "LayerNorm_2").replace("MlpBlock_0", "MlpBlock_3")
        renamed[name.replace("ProductAttention_0", "ProductAttention_1")] = entry
    return renamed


def big_vision(entries):
    """Positions without the class token's, and an optimizer's state beside the weights."""
    entries = dict(entries)
    positions = entries.pop("Transformer/posembed_input/pos_embedding")
    entries["pos_embedding"] = positions[:, 1:]
    state = {f"opt/0/mu/{name}": np.zeros_like(entry) for name, entry in entries.items()}
    return state | {f"params/{name}": entry for name, entry in entries.items()}


def stacked(entries):
    """All blocks' weights of a kind as one entry."""
    whole = {name: entry for name, entry in entries.items() if "encoderblock_" not in name}
    for name in [name for name in entries if "encoderblock_0/" in name]:
        blocks = [entries[name.replace("block_0", f"block_{i}")] for i in range(DEPTH)]
        whole[name.replace("encoderblock_0", "encoderblock")] = np.stack(blocks)
    return whole
