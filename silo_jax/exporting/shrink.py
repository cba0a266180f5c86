"""Networks made physically smaller: channels are taken out that no longer do anything.

Two kinds can go. A channel none of whose outgoing weights is left is read by nothing. A channel
none of whose incoming weights is left has the same value everywhere, which depends on its bias and
BatchNorm alone; if that is 0 it goes as well, and if not it is folded into the biases of the next
layer. The one place where that is not exact is before a convolution that pads with zeros, as the
margin lacks the constant: there such a channel is kept.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from silo_jax.exporting.network import TrainedNetwork
from silo_jax.exporting.sequential import Sequential, Steps, modules_of, steps_of

PyTree = Any


class _Layer(NamedTuple):
    """A layer with weights; ``norm`` is the name of its BatchNorm, if it has one."""

    step: int
    name: str
    norm: str | None
    activation: str | None
    pads: bool


class Speedup(NamedTuple):
    """How many times as fast the smaller network is: median and quartiles over turns."""

    median: float
    lower: float
    upper: float


def shrink(network: TrainedNetwork) -> TrainedNetwork:
    """The network without the channels that have no effect, with the same logits but for rounding.

    Every layer keeps at least one channel.

    Raises:
      ValueError: the network is of a family in which layers do not follow one after another.
    """
    try:
        steps = steps_of(network.model)
    except ValueError as error:
        raise ValueError(f"shrink: {error}") from None
    layers = _layers(steps)
    variables = jax.tree.map(np.array, network.variables)
    masks = jax.tree.map(np.array, network.masks)
    while any(_shrink_layer(layer, after, variables, masks) for layer, after in pairwise(layers)):
        pass
    params, dtype = variables["params"], getattr(network.model, "dtype", "float32")
    widths = {layer.step: params[layer.name]["kernel"].shape[-1] for layer in layers}
    smaller: Steps = tuple(
        (step[0], widths[index], *step[2:]) if index in widths else step
        for index, step in enumerate(steps)
    )
    return network._replace(
        model=Sequential(network.model.num_classes, smaller, dtype),
        variables=jax.tree.map(jnp.asarray, variables),
        masks=jax.tree.map(jnp.asarray, masks),
    )


def widths_of(network: TrainedNetwork) -> list[int]:
    """The number of channels of each layer."""
    layers = _layers(steps_of(network.model))
    return [network.variables["params"][layer.name]["kernel"].shape[-1] for layer in layers]


def measure_speedup(
    network: TrainedNetwork, smaller: TrainedNetwork, *, batch_size: int = 256, turns: int = 21
) -> Speedup:
    """Times the forward passes of both on the same random images, in turn."""
    shape = (batch_size, *network.image_shape)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    pairs = [
        [_seconds(each.logits, images) for each in (network, smaller)] for _ in range(turns + 1)
    ]
    ratios = [before / after for before, after in pairs[1:]]  # the first one compiles
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return Speedup(median, lower, upper)


def _seconds(logits: Callable[[jax.Array], jax.Array], images: jax.Array) -> float:
    started = time.perf_counter()
    jax.block_until_ready(logits(images))
    return time.perf_counter() - started


def _layers(steps: Steps) -> list[_Layer]:
    names, layers = modules_of(steps), []
    for index, step in enumerate(steps):
        match step:
            case ("conv", _, _, int(padding)):
                layers.append(_Layer(index, names[index], None, None, padding > 0))
            case ("dense", _):
                layers.append(_Layer(index, names[index], None, None, False))
            case ("norm",):
                layers[-1] = layers[-1]._replace(norm=names[index])
            case ("activation", str(kind)):
                layers[-1] = layers[-1]._replace(activation=kind)
    return layers


def _shrink_layer(layer: _Layer, after: _Layer, variables: PyTree, masks: PyTree) -> bool:
    """Takes channels out of a layer, and out of the inputs of the one after; whether there were."""
    params, channels = variables["params"], variables["params"][layer.name]["kernel"].shape[-1]
    inputs = partial(_by_input, channels=channels)
    is_read = inputs(_whole(masks, params, after.name)).any((0, 2))
    is_constant = ~_whole(masks, params, layer.name).reshape(-1, channels).any(0)
    constants = _constants(layer, variables)
    goes = ~is_read | (is_constant & ((constants == 0) | (not after.pads)))
    goes[0] &= not goes.all()
    folded = goes & is_constant & is_read
    kernel = params[after.name]["kernel"]
    params[after.name]["bias"] += constants[folded] @ inputs(kernel).sum(0)[folded]
    keep = ~goes
    for tree in (params, masks):
        for name, leaf in tree[layer.name].items():
            tree[layer.name][name] = leaf[..., keep] if leaf.ndim else leaf
        leaf = tree[after.name]["kernel"]
        if leaf.ndim:
            kept = inputs(leaf)[:, keep]
            shape = (*leaf.shape[:-2], -1, leaf.shape[-1])
            tree[after.name]["kernel"] = kept.reshape(shape)
    if layer.norm:
        for tree in (params, masks, variables["batch_stats"]):
            own = tree[layer.norm]
            tree[layer.norm] = {
                name: leaf[keep] if leaf.ndim else leaf for name, leaf in own.items()
            }
    return bool(goes.any())


def _whole(masks: PyTree, params: PyTree, name: str) -> np.ndarray:
    """The mask of a layer's kernel, spread out where it is a single True."""
    return np.broadcast_to(masks[name]["kernel"], params[name]["kernel"].shape)


def _by_input(kernel: np.ndarray, *, channels: int) -> np.ndarray:
    """A kernel as (positions, channels in, channels out); those of a dense layer are pixels."""
    return kernel.reshape(-1, channels, kernel.shape[-1])


def _constants(layer: _Layer, variables: PyTree) -> np.ndarray:
    """What each channel would be if nothing came in, after BatchNorm and activation."""
    x = variables["params"][layer.name]["bias"]
    if layer.norm:
        stats, own = variables["batch_stats"][layer.norm], variables["params"][layer.norm]
        x = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * own["scale"] + own["bias"]
    return np.asarray(getattr(nn, layer.activation)(x)) if layer.activation else x
