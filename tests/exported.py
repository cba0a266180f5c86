"""Networks with random weights and masks, to be exported and made smaller."""

import jax
import numpy as np
from ml_collections import ConfigDict

from silo_jax import apply_masks, init_masks, prune, prune_channels
from silo_jax.exporting.network import TrainedNetwork
from silo_jax.exporting.sequential import Sequential
from silo_jax.models import create_model
from silo_jax.pruning.masks import named_leaves

SMALL = {
    "mlp": ((4, 5, 3), {"hidden": (12, 9), "activation": "gelu"}),
    "lenet5": ((12, 14, 1), {}),
    "conv2": ((6, 4, 3), {"activation": "tanh"}),
}
LARGE = {
    "vgg16": ((32, 32, 3), {}),
    "vgg19": ((32, 32, 3), {"norm": "none", "activation": "gelu"}),
    "resnet20": ((8, 8, 3), {}),
    "resnet32": ((8, 8, 3), {"shortcut": "projection", "activation": "tanh"}),
    "resnet18": ((16, 16, 3), {"stem": "cifar", "norm": "none"}),
    "resnet50": ((32, 32, 3), {}),
}


STEPS = (
    *(("conv", 8, 3, 1), ("norm",), ("activation", "relu"), ("max_pool",)),
    *(("conv", 6, 3, 1), ("norm",), ("activation", "relu"), ("mean",), ("dense", 7)),
)


def shapes_of(model, image_shape):
    images = np.zeros((1, *image_shape), np.float32)
    return jax.eval_shape(model.init, jax.random.PRNGKey(0), images)


def network_of(name, fraction=0.9, bias=0.1):
    """A pruned network of random weights, biases and statistics."""
    others = {"vit_cifar": ((8, 8, 3), {"depth": 1, "width": 12}), "steps": ((6, 6, 3), {})}
    shape, options = (SMALL | LARGE | others)[name]
    if name == "steps":
        model = Sequential(7, STEPS)
    else:
        model = create_model(name, num_classes=7, **options)
    init, random = shapes_of(model, shape), np.random.default_rng(0)

    def draw(path, leaf):
        values = random.standard_normal(leaf.shape, np.float32)
        if path[-1].key == "kernel":
            return values * np.sqrt(2 / np.prod(leaf.shape[:-1])).astype(np.float32)
        return {"var": 1 + values**2, "scale": 1 + bias * values}.get(path[-1].key, bias * values)

    variables = jax.tree_util.tree_map_with_path(draw, init)
    params = variables["params"]
    masks = prune(params, init_masks(params, getattr(model, "prunable", None)), fraction)
    channels = shape[-1]
    return TrainedNetwork(
        model=model,
        variables=variables | {"params": apply_masks(params, masks)},
        masks=masks,
        config=ConfigDict({"model": {"name": name, **options}}),
        seed=0,
        cycle=5,
        image_shape=shape,
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.2, 0.3, 0.25)[:channels],
    )


def with_channels_pruned(network, fraction):
    """Whole channels of every layer but the last, whose outputs are the logits."""
    params, masks = network.variables["params"], init_masks(network.variables["params"], ["kernel"])
    last = max(path for path in masks if path.startswith("Dense"))
    pruned = {**prune_channels(params, masks, fraction), last: masks[last]}
    variables = network.variables | {"params": apply_masks(params, pruned)}
    return network._replace(variables=variables, masks=pruned)


def images_for(network, number=6):
    shape = (number, *network.image_shape)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def assert_same_logits(found, expected, tolerance=2e-5):
    expected = np.asarray(expected)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def leaves_of(tree):
    return {path: np.asarray(leaf) for path, leaf in named_leaves(tree)}
