"""Masked train steps in PyTorch, written plainly, for `benchmarks.pytorch_step`.

It runs in an environment of its own, which has torch. It prints, as JSON, the number of the
network's parameters and what it runs on. For every line that it then reads it trains for a turn of
some steps, and prints one.
"""

import argparse
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride, self.more_channels = stride, channels - channels_in

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        x = x[:, :, :: self.stride, :: self.stride]
        if self.more_channels:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.more_channels))
        return functional.relu(x + y)


class GlobalMean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def resnet20() -> nn.Module:
    blocks = [
        ResidualBlock(channels // 2 if first and channels > 16 else channels, channels, stride)
        for channels in (16, 32, 64)
        for first in (True, False, False)
        for stride in [2 if first and channels > 16 else 1]
    ]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, GlobalMean(), nn.Linear(64, 10))


def vgg19() -> nn.Module:
    layers: list[nn.Module] = []
    channels_in = 3
    for channels, convolutions in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(convolutions):
            layers += [
                nn.Conv2d(channels_in, channels, 3, 1, 1),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            channels_in = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, GlobalMean(), nn.Linear(512, 10))


class ViT(nn.Module):
    def __init__(self, patch: int = 4, width: int = 192, depth: int = 6, heads: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, width, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (32 // patch) ** 2 + 1, width))
        block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = self.embedding(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(images), -1, -1), patches], 1) + self.positions
        return self.head(self.norm(self.blocks(x)[:, 0]))


def lenet_300_100() -> nn.Module:
    sizes = ((784, 300), (300, 100), (100, 10))
    layers = [layer for size in sizes for layer in (nn.Linear(*size), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def masking_by_buffers(network: nn.Module) -> tuple[Callable[[], None], Callable[[], None]]:
    """Masks on the device: gradients before the optimizer's step, and weights after it."""
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    masks = [(torch.rand_like(weight) < 0.8).to(weight.dtype) for weight in weights]

    def mask_gradients() -> None:
        for weight, mask in zip(weights, masks, strict=True):
            weight.grad.mul_(mask)

    @torch.no_grad()
    def mask_weights() -> None:
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(mask)

    mask_weights()
    return mask_gradients, mask_weights


def masking_by_numpy(network: nn.Module) -> tuple[Callable[[], None], Callable[[], None]]:
    """As scripts for lottery tickets do: gradients go to NumPy where weights are 0, and back."""
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    with torch.no_grad():
        for weight in weights:
            weight.mul_(torch.rand_like(weight) < 0.8)

    def mask_gradients() -> None:
        for weight in weights:
            values, gradient = weight.data.cpu().numpy(), weight.grad.data.cpu().numpy()
            masked = np.where(np.abs(values) < 1e-6, 0, gradient)
            weight.grad.data = torch.from_numpy(masked).to(weight.device)

    return mask_gradients, lambda: None


NETWORKS = {
    "lenet_300_100": lenet_300_100,
    "resnet20": resnet20,
    "vgg19": vgg19,
    "vit_cifar": ViT,
}
MASKING = {"buffers": masking_by_buffers, "numpy": masking_by_numpy}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--layout", choices=LAYOUTS, default="contiguous")
    parser.add_argument("--masks", choices=MASKING, default="buffers")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--compile", metavar="MODE", help="the network, by torch.compile")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="in a turn")
    return parser.parse_args()


def facts(network: nn.Module, device: str) -> dict[str, object]:
    """The number of parameters, and what the steps run on."""
    found = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "torch": torch.__version__,
    }
    if device != "cpu":
        found |= {"device": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
    return found


def main() -> None:
    options = parsed()
    if options.device != "cpu":
        torch.set_float32_matmul_precision("high")  # TF32, as JAX does by default
        torch.backends.cudnn.benchmark = True
    layout, device = LAYOUTS[options.layout], options.device
    network = NETWORKS[options.network]().to(device, memory_format=layout).train()
    print(json.dumps(facts(network, device)), flush=True)
    mask_gradients, mask_weights = MASKING[options.masks](network)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=device != "cpu"
    )
    shape = (1, 28, 28) if options.network == "lenet_300_100" else (3, 32, 32)
    images = torch.randn(options.batch_size, *shape).contiguous(memory_format=layout).to(device)
    labels = torch.randint(0, 10, (options.batch_size,)).to(device)
    logits = torch.compile(network, mode=options.compile) if options.compile else network
    is_lower = options.dtype == "bfloat16"
    for _ in sys.stdin:
        for _ in range(options.steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16, enabled=is_lower):
                loss = functional.cross_entropy(logits(images), labels)
            loss.backward()
            mask_gradients()
            optimizer.step()
            mask_weights()
        if device != "cpu":
            torch.cuda.synchronize()
        print("trained", flush=True)


if __name__ == "__main__":
    main()
