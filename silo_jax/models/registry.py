"""The networks by name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from flax import linen as nn

from silo_jax.checks import require_choice, require_int
from silo_jax.imported import imported, is_imported
from silo_jax.models.conv_n import ConvN
from silo_jax.models.densenet import DenseNet
from silo_jax.models.lenet import MLP, LeNet5
from silo_jax.models.mobilenet import MobileNetV2
from silo_jax.models.resnet import ResNet
from silo_jax.models.resnet_cifar import ResNetCifar
from silo_jax.models.vgg import VGG
from silo_jax.models.vit import ViT

_ViT16 = partial(ViT, patch_size=16, depth=12)

MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "lenet_300_100": partial(MLP, hidden=(300, 100)),
    "lenet5": LeNet5,
    "conv2": partial(ConvN, depth=2),
    "conv4": partial(ConvN, depth=4),
    "conv6": partial(ConvN, depth=6),
    "resnet20": partial(ResNetCifar, depth=20),
    "resnet32": partial(ResNetCifar, depth=32),
    "resnet56": partial(ResNetCifar, depth=56),
    "resnet110": partial(ResNetCifar, depth=110),
    "resnet18": partial(ResNet, depth=18),
    "resnet50": partial(ResNet, depth=50),
    "vgg16": partial(VGG, depth=16),
    "vgg19": partial(VGG, depth=19),
    "densenet40": partial(DenseNet, depth=40, bottleneck=False),
    "densenet_bc100": partial(DenseNet, depth=100, bottleneck=True),
    "mobilenet_v2": MobileNetV2,
    "vit_cifar": ViT,
    "vit_ti16": partial(_ViT16, width=192, num_heads=3, mlp_dim=768),
    "vit_s16": partial(_ViT16, width=384, num_heads=6, mlp_dim=1536),
    "vit_b16": partial(_ViT16, width=768, num_heads=12, mlp_dim=3072),
}


def create_model(name: str, *, num_classes: int, **options: Any) -> nn.Module:
    """A network by its name.

    Args:
      name: a key of ``MODELS``, or ``module:Class`` of a network of one's own, which is imported.
      num_classes: size of the output.
      **options: options of the family, such as ``shortcut`` of the ResNets.

    Returns:
      A linen module, called as ``module.apply(variables, images, train=...)`` on float images of
      shape ``(batch, height, width, channels)``; it returns logits ``(batch, num_classes)``.

    Raises:
      ValueError: a name or option that is not known, or an option's value that is not allowed.

    Example:
      >>> from silo_jax.models import create_model
      >>> create_model("resnet20", num_classes=10, shortcut="projection").depth
      20
    """
    known = model_options(name)
    require_int("num_classes", num_classes, minimum=1)
    for option in options:
        require_choice(f"option of {name}", option, known)
    return _family(name)(num_classes=num_classes, **options)


def model_options(name: str) -> dict[str, Any]:
    """The options that a network takes, with their defaults."""
    family = _family(name)
    settled = {"num_classes", "parent", "name"}
    if isinstance(family, partial):
        settled |= set(family.keywords)
        family = family.func
    parameters = inspect.signature(family).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in settled}


def _family(name: str) -> Callable[..., nn.Module]:
    if is_imported(name):
        return imported("model.name", name)
    require_choice("model.name", name, MODELS)
    return MODELS[name]
