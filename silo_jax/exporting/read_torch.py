"""Builds the network of a PyTorch export of SILO-JAX. It needs torch and safetensors alone, and may
be copied.

    from read_torch import read_torch
    network = read_torch("network.safetensors")
    logits = network(images)  # (b, channels, height, width), raw intensities from 0 to 255

``network.network`` is what follows the normalisation; the file is its state_dict.
"""

import json
from os import PathLike
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": lambda: nn.GELU(approximate="tanh")}


class Normalized(nn.Module):
    """A network on raw images."""

    def __init__(self, network: nn.Module, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network((images / 255 - self.mean) / self.std)


class Block(nn.Module):
    """Two 3×3 convolutions, or 1×1, 3×3 and 1×1, and a shortcut around them."""

    def __init__(self, name: str, weights: dict[str, torch.Tensor], stride: int, told: Any) -> None:
        super().__init__()
        self.depth = 3 if f"{name}.conv3.weight" in weights else 2
        strides = (1, stride, 1) if self.depth == 3 else (stride, 1)
        for index, step in enumerate(strides, start=1):
            setattr(self, f"conv{index}", _conv(weights[f"{name}.conv{index}.weight"], step))
            setattr(self, f"bn{index}", _norm(weights, f"{name}.bn{index}.weight"))
        self.activation, self.stride = _ACTIVATIONS[told["activation"]](), stride
        self.downsample = None
        if f"{name}.downsample.0.weight" in weights:
            project = _conv(weights[f"{name}.downsample.0.weight"], stride)
            self.downsample = nn.Sequential(project, _norm(weights, f"{name}.downsample.1.weight"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for index in range(1, self.depth + 1):
            y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
            y = self.activation(y) if index < self.depth else y
        if self.downsample is not None:
            return self.activation(y + self.downsample(x))
        x = x[:, :, :: self.stride, :: self.stride]
        missing = y.shape[1] - x.shape[1]
        padding = (0, 0, 0, 0, missing // 2, missing - missing // 2)
        return self.activation(y + functional.pad(x, padding))


class ResNet(nn.Module):
    """A ResNet with the names of torchvision, for ImageNet or for small images."""

    def __init__(self, weights: dict[str, torch.Tensor], told: Any) -> None:
        super().__init__()
        large = told["stem"] == "imagenet"
        self.conv1 = _conv(weights["conv1.weight"], 2 if large else 1)
        self.bn1 = _norm(weights, "bn1.weight")
        self.activation = _ACTIVATIONS[told["activation"]]()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self.num_stages = len(told["stages"])
        for stage, number in enumerate(told["stages"], start=1):
            blocks = [
                Block(f"layer{stage}.{i}", weights, 2 if stage > 1 and i == 0 else 1, told)
                for i in range(number)
            ]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = _dense(weights["fc.weight"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.activation(self.bn1(self.conv1(x))))
        for stage in range(1, self.num_stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def read_torch(path: str | PathLike[str]) -> Normalized:
    """The network of a file, in evaluation mode."""
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["silo_jax"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    parts = told["torch"]
    network = _sequential(weights, parts) if "steps" in parts else ResNet(weights, parts)
    network.load_state_dict(weights)
    return Normalized(network, told["mean"], told["std"]).eval()


def logits_of(path: str | PathLike[str], images: np.ndarray) -> np.ndarray:
    """The logits of raw images with their channels last."""
    with torch.no_grad():
        return read_torch(path)(torch.tensor(images).movedim(3, 1)).numpy()


def _sequential(weights: dict[str, torch.Tensor], told: Any) -> nn.Module:
    modules: list[nn.Module] = []
    for index, step in enumerate(told["steps"]):
        match step:
            case ["conv", _, _, padding]:
                modules.append(_conv(weights[f"{index}.weight"], 1, padding, bias=True))
            case ["dense", _]:
                modules.append(_dense(weights[f"{index}.weight"]))
            case ["norm"]:
                modules.append(_norm(weights, f"{index}.weight"))
            case ["activation", kind]:
                modules.append(_ACTIVATIONS[kind]())
            case ["max_pool"]:
                modules.append(nn.MaxPool2d(2))
            case ["mean_pool", side]:
                modules.append(nn.AdaptiveAvgPool2d(side))
            case ["mean"]:
                modules.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
            case _:
                modules.append(nn.Flatten())
    return nn.Sequential(*modules)


def _conv(
    weight: torch.Tensor, stride: int, padding: int | None = None, *, bias: bool = False
) -> nn.Conv2d:
    outputs, inputs, side, _ = weight.shape
    padding = side // 2 if padding is None else padding
    return nn.Conv2d(inputs, outputs, side, stride, padding, bias=bias)


def _norm(weights: dict[str, torch.Tensor], name: str) -> nn.Module:
    return nn.BatchNorm2d(len(weights[name])) if name in weights else nn.Identity()


def _dense(weight: torch.Tensor) -> nn.Linear:
    return nn.Linear(weight.shape[1], weight.shape[0])
