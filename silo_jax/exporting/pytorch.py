"""A PyTorch ``state_dict`` as safetensors: its names and layouts, written without PyTorch.

Networks that are one layer after another have the names of a `torch.nn.Sequential` of their steps,
ResNets those of torchvision. The reader, `silo_jax.exporting.read_torch`, builds the network from
the file; a copy of it is put beside each file.
"""

import importlib.util
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import ArrayLike

from silo_jax.exporting.description import (
    as_tree,
    describe,
    model_of,
    named_arrays,
    read_arrays,
    write_arrays,
)
from silo_jax.exporting.network import TrainedNetwork, logits
from silo_jax.exporting.sequential import FAMILIES, modules_of, pixels_before, steps_of
from silo_jax.files import write_atomically
from silo_jax.models.resnet import BLOCKS, ResNet
from silo_jax.models.resnet_cifar import ResNetCifar
from silo_jax.pruning.masks import named_leaves

_READER = Path(__file__).with_name("read_torch.py")
_RESNETS = "resnet18, resnet20, resnet32, resnet50, resnet56, resnet110"
_NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
_SHORTCUT = {"conv_shortcut": "downsample.0", "norm_shortcut": "downsample.1"}
_IN_BLOCK = {
    # A residual block makes its second BatchNorm first.
    "ResidualBlock": _SHORTCUT
    | {"Conv_0": "conv1", "BatchNorm_1": "bn1", "Conv_1": "conv2", "BatchNorm_0": "bn2"},
    "Bottleneck": _SHORTCUT
    | {f"Conv_{index}": f"conv{index + 1}" for index in range(3)}
    | {f"BatchNorm_{index}": f"bn{index + 1}" for index in range(3)},
}


class Layout(NamedTuple):
    """How a leaf lies in PyTorch.

    Attributes:
      name: in the state_dict.
      view: the leaf's shape, with the inputs of a dense layer on pixels taken apart.
      axes: the order of the view's axes in PyTorch.
      shape: in PyTorch.
    """

    name: str
    view: tuple[int, ...]
    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def there(self, leaf: np.ndarray) -> np.ndarray:
        """From here to PyTorch."""
        return leaf.reshape(self.view).transpose(self.axes).reshape(self.shape)

    def back(self, array: np.ndarray) -> np.ndarray:
        """From PyTorch to ``view``."""
        transposed = array.reshape([self.view[axis] for axis in self.axes])
        return transposed.transpose(np.argsort(self.axes))


def write(network: TrainedNetwork, path: Path) -> None:
    """Writes the state_dict.

    Raises:
      ValueError: the network is of a family that has none; one line.
    """
    arrays = named_arrays(network.variables)
    layouts = _layouts(network.model, network.image_shape, arrays)
    weights = {layout.name: layout.there(arrays[leaf]) for leaf, layout in layouts.items()}
    write_arrays(path, weights, describe(network) | {"torch": _structure(network.model)})
    write_atomically(path.with_name(_READER.name), _READER.read_bytes())


def read_logits(path: Path, images: ArrayLike) -> jax.Array:
    """The logits of raw images, from the file alone: by PyTorch, if it is installed.

    If not, the weights are brought back into our layout.
    """
    if importlib.util.find_spec("torch"):
        from silo_jax.exporting.read_torch import logits_of

        return jnp.asarray(logits_of(path, np.asarray(images)))
    _, told = read_arrays(path)
    return logits(model_of(told), told["mean"], told["std"], read_variables(path), images)


def read_variables(path: Path) -> dict[str, Any]:
    """The variables of the linen network, brought back from PyTorch's layouts."""
    arrays, told = read_arrays(path)
    model, image_shape = model_of(told), tuple(told["image_shape"])
    init = jax.eval_shape(model.init, jax.random.PRNGKey(0), jnp.zeros((1, *image_shape)))
    leaves = dict(named_leaves(init))
    for leaf, layout in _layouts(model, image_shape, leaves).items():
        leaves[leaf] = layout.back(arrays[layout.name]).reshape(leaves[leaf].shape)
    return as_tree(leaves)


def _layouts(
    model: nn.Module, image_shape: tuple[int, ...], leaves: dict[str, Any]
) -> dict[str, Layout]:
    """The layout of each leaf by its path."""
    pixels: dict[str, tuple[int, int]] = {}
    if isinstance(model, ResNet | ResNetCifar):
        modules = _resnet_modules(model)
    else:
        steps = _steps(model)
        modules = {name: str(index) for index, name in modules_of(steps).items()}
        if ("flatten",) in steps:
            pixels["Dense_0"] = pixels_before(steps, image_shape)
    layouts = {}
    for path, leaf in leaves.items():
        module, _, name = path.partition("/")[2].rpartition("/")
        full = f"{modules[module]}.{_NAMES.get(name, name)}"
        layouts[path] = _layout(full, name, leaf.shape, pixels.get(module, ()))
    return layouts


def _layout(full: str, name: str, shape: tuple[int, ...], pixels: tuple[int, ...]) -> Layout:
    if name != "kernel":
        return Layout(full, shape, tuple(range(len(shape))), shape)
    view = (*pixels, shape[0] // math.prod(pixels), *shape[1:])
    axes = (3, 2, 0, 1) if len(view) == 4 else (1, 0)
    there = tuple(view[axis] for axis in axes)
    return Layout(full, view, axes, (there[0], math.prod(there[1:])) if pixels else there)


def _steps(model: nn.Module) -> Any:
    try:
        return steps_of(model)
    except ValueError:
        raise ValueError(
            f"format: 'torch' with {type(model).__name__}; allowed: with {FAMILIES}, {_RESNETS}"
        ) from None


def _structure(model: nn.Module) -> dict[str, Any]:
    """What the reader builds the network from."""
    if not isinstance(model, ResNet | ResNetCifar):
        return {"steps": _steps(model)}
    is_small = isinstance(model, ResNetCifar)
    return {
        "stages": _stages(model),
        "stem": "cifar" if is_small else model.stem,
        "projection": not is_small or model.shortcut == "projection",
        "activation": model.activation,
        "norm": model.norm == "batch",
    }


def _stages(model: ResNet | ResNetCifar) -> tuple[int, ...]:
    """Blocks of each stage."""
    return (
        (*[(model.depth - 2) // 6] * 3,) if isinstance(model, ResNetCifar) else BLOCKS[model.depth]
    )


def _resnet_modules(model: ResNet | ResNetCifar) -> dict[str, str]:
    """The names of torchvision by those of linen."""
    block = "Bottleneck" if isinstance(model, ResNet) and model.depth == 50 else "ResidualBlock"
    blocks = [
        f"layer{stage}.{index}"
        for stage, number in enumerate(_stages(model), start=1)
        for index in range(number)
    ]
    return {"Conv_0": "conv1", "BatchNorm_0": "bn1", "Dense_0": "fc"} | {
        f"{block}_{number}/{ours}": f"{name}.{theirs}"
        for number, name in enumerate(blocks)
        for ours, theirs in _IN_BLOCK[block].items()
    }
