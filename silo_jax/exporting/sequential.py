"""Networks that are one layer after another, written out as steps.

The steps of a network of the families here are data: widths can be changed one by one, and other
libraries can build the same network from them.
"""

from collections.abc import Sequence

import jax
from flax import linen as nn

from silo_jax.models.conv import Conv
from silo_jax.models.conv_n import ConvN
from silo_jax.models.layers import Activation, batch_norm, max_pool
from silo_jax.models.lenet import MLP, LeNet5
from silo_jax.models.vgg import CONVOLUTIONS, POOLED_SIDE, VGG, mean_pool_to

Step = tuple[str | int, ...]
Steps = tuple[Step, ...]

FAMILIES = "mlp, lenet_300_100, lenet5, conv2, conv4, conv6, vgg16, vgg19"


class Sequential(nn.Module):
    """A network as its steps say, in evaluation mode; parameters are named as in the families.

    Attributes:
      num_classes: size of the output.
      steps: ("conv", channels, side of the kernel, padding), ("dense", width), ("norm",),
        ("activation", kind), ("max_pool",) over 2×2 pixels, ("mean_pool", side) to so many pixels,
        ("mean",) over all pixels, ("flatten",).
      dtype: of the computation but for the last layer's.
    """

    num_classes: int
    steps: Steps
    dtype: str = "float32"

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = images
        for index, step in enumerate(self.steps):
            match step:
                case ("conv", int(channels), int(side), int(padding)):
                    x = Conv(channels, (side, side), padding=padding, dtype=self.dtype)(x)
                case ("dense", int(width)):
                    is_last = index == len(self.steps) - 1
                    x = nn.Dense(width, dtype=None if is_last else self.dtype)(x)
                case ("norm",):
                    x = batch_norm(train, self.dtype)()(x)
                case ("activation", str(kind)):
                    x = Activation(kind)(x)
                case ("max_pool",):
                    x = max_pool(x, 2, strides=2)
                case ("mean_pool", int(side)):
                    x = mean_pool_to(side, x)
                case ("mean",):
                    x = x.mean((1, 2))
                case _:
                    x = x.reshape(x.shape[0], -1)
        return x


def steps_of(model: nn.Module) -> Steps:
    """The steps of a network of the families.

    Args:
      model: from `silo_jax.models.create_model`, or already `Sequential`.

    Raises:
      ValueError: it is of another family; one line.
    """
    match model:
        case Sequential():
            return model.steps
        case MLP():
            return (("flatten",), *_dense_layers(model.hidden, model.activation, model.num_classes))
        case LeNet5():
            return (
                *(("conv", 6, 5, 2), ("activation", model.activation), ("max_pool",)),
                *(("conv", 16, 5, 0), ("activation", model.activation), ("max_pool",)),
                ("flatten",),
                *_dense_layers((120, 84), model.activation, model.num_classes),
            )
        case ConvN():
            pairs = [64 * 2**pair for pair in range(model.depth // 2)]
            layers = [
                _conv(channels, model.activation) * 2 + (("max_pool",),) for channels in pairs
            ]
            dense = _dense_layers((256, 256), model.activation, model.num_classes)
            return (*sum(layers, ()), ("flatten",), *dense)
        case VGG():
            return _vgg(model)
    raise ValueError(f"model: {type(model).__name__}; allowed: {FAMILIES}")


def _vgg(model: VGG) -> Steps:
    steps: Steps = ()
    for group, num_convolutions in enumerate(CONVOLUTIONS[model.depth]):
        conv = _conv(min(64 * 2**group, 512), model.activation, norm=model.norm == "batch")
        steps += conv * num_convolutions + (("max_pool",),)
    if model.head == "cifar":
        return (*steps, ("mean",), ("dense", model.num_classes))
    dense = _dense_layers((4096, 4096), model.activation, model.num_classes)
    return (*steps, ("mean_pool", POOLED_SIDE), ("flatten",), *dense)


def _conv(channels: int, activation: str, *, norm: bool = False) -> Steps:
    norms: Steps = (("norm",),) if norm else ()
    return (("conv", channels, 3, 1), *norms, ("activation", activation))


def _dense_layers(hidden: Sequence[int], activation: str, num_classes: int) -> Steps:
    layers = [(("dense", width), ("activation", activation)) for width in hidden]
    return (*sum(layers, ()), ("dense", num_classes))


def modules_of(steps: Steps) -> dict[int, str]:
    """The linen name of each step that has parameters, such as "Conv_0"."""
    kinds = {"conv": "Conv", "norm": "BatchNorm", "dense": "Dense"}
    names, counts = {}, dict.fromkeys(kinds, 0)
    for index, (kind, *_) in enumerate(steps):
        if kind in kinds:
            names[index] = f"{kinds[str(kind)]}_{counts[str(kind)]}"
            counts[str(kind)] += 1
    return names


def pixels_before(steps: Steps, image_shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of what the flattening step takes; (1, 1) if there is none."""
    height, width = image_shape[:2]
    for step in steps:
        match step:
            case ("conv", _, int(side), int(padding)):
                height, width = (size + 2 * padding - side + 1 for size in (height, width))
            case ("max_pool",):
                height, width = height // 2, width // 2
            case ("mean_pool", int(side)):
                height, width = side, side
            case ("flatten",):
                return height, width
    return 1, 1
