"""The networks by name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from flax import linen as nn

from silo_jax.checks import require_choice, require_int
from silo_jax.models.lenet import MLP, LeNet5
from silo_jax.models.resnet_cifar import ResNetCifar

MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "lenet_300_100": partial(MLP, hidden=(300, 100)),
    "lenet5": LeNet5,
    "resnet20": partial(ResNetCifar, depth=20),
    "resnet32": partial(ResNetCifar, depth=32),
    "resnet56": partial(ResNetCifar, depth=56),
}


def create_model(name: str, *, num_classes: int, **options: Any) -> nn.Module:
    """A network by its name.

    Args:
      name: a key of ``MODELS``.
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
    require_choice("model.name", name, MODELS)
    require_int("num_classes", num_classes, minimum=1)
    for option in options:
        require_choice(f"option of {name}", option, model_options(name))
    return MODELS[name](num_classes=num_classes, **options)


def model_options(name: str) -> dict[str, Any]:
    """The options that a network takes, with their defaults."""
    family = MODELS[name]
    settled = {"num_classes", "parent", "name"}
    if isinstance(family, partial):
        settled |= set(family.keywords)
        family = family.func
    parameters = inspect.signature(family).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in settled}
