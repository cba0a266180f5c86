r"""The time of a train step over that of PyTorch on the same device, measured in one run.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch==2.13.0 numpy
    python -m benchmarks.pytorch_step --python=/tmp/torch/bin/python \
        --out=benchmarks/results/pytorch_step.json

Ours is the step of a run: it draws its images from the data set, normalises them, and applies masks
to weights, gradients and momentum. PyTorch's has its images ready. On a CPU it runs eagerly, with
masks as tensors in each of its two layouts, and with masks that go through NumPy at every step; on
a GPU in channels-last, eagerly and with torch.compile. All of them take turns.

    python -m benchmarks.pytorch_step --python=/tmp/torch/bin/python --networks=resnet20 \
        --steps=256 --dtype=bfloat16 --out=benchmarks/results/pytorch_step_gpu.json
"""

import argparse
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks.epochs import Epochs
from benchmarks.measure import median_ratio, ratio_quartiles, report

STEPS = {"lenet_300_100": 200, "resnet20": 4, "vgg19": 2, "vit_cifar": 4}  # in a turn
WAYS = {
    "cpu": {
        "contiguous": (),
        "channels_last": ("--layout=channels_last",),
        "numpy_masks": ("--masks=numpy",),
    },
    "gpu": {
        "eager": ("--layout=channels_last", "--device=cuda"),
        "compiled": ("--layout=channels_last", "--device=cuda", "--compile"),
    },
}


class Torch:
    """Steps in another interpreter."""

    def __init__(self, python: str, network: str, arguments: Sequence[str]) -> None:
        script = Path(__file__).with_name("torch_networks.py")
        self._process = subprocess.Popen(
            [python, str(script), network, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.num_parameters = int(self._answer())

    def seconds(self) -> float:
        """Seconds of a turn."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """Ends the other interpreter."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} has ended")
        return line


def compare(network: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    batch_size, steps = options.batch_size, options.steps or STEPS[network]
    ours = Epochs(network, batch_size, steps, dtype=options.dtype)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(ours.state.params))
    same = (f"--batch-size={batch_size}", f"--steps={steps}", f"--dtype={options.dtype}")
    theirs = {
        way: Torch(options.python, network, (*same, *arguments))
        for way, arguments in WAYS[jax.default_backend()].items()
    }
    for way, torch in theirs.items():
        if torch.num_parameters != num_parameters:
            raise ValueError(f"{way}: {torch.num_parameters} parameters, not {num_parameters}")
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *theirs)}
    for turn in range(options.repeats + 1):
        started = time.perf_counter()
        jax.block_until_ready(ours())
        measured = {"ours": time.perf_counter() - started}
        measured |= {way: torch.seconds() for way, torch in theirs.items()}
        if turn:  # the first one compiles and warms up
            for name, value in measured.items():
                seconds[name].append(value)
    for torch in theirs.values():
        torch.close()
    row: dict[str, Any] = {"network": network, "dtype": options.dtype, "batch_size": batch_size}
    row |= {"parameters": num_parameters}
    for name, values in seconds.items():
        row[f"{name}_ms_per_step"] = 1e3 * statistics.median(values) / steps
    for way in theirs:
        row[f"ours_over_{way}"] = median_ratio(seconds["ours"], seconds[way])
        quartiles = ratio_quartiles(seconds["ours"], seconds[way])
        row[f"quartiles_{way}"] = [round(quartile, 3) for quartile in quartiles]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="an interpreter that has torch")
    parser.add_argument("--networks", nargs="*", default=[*STEPS], choices=[*STEPS])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=0, help="in a turn; 0 for those of a CPU")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out")
    options = parser.parse_args()
    if jax.default_backend() not in WAYS:
        parser.error(f"PyTorch on a {jax.default_backend()}; allowed: {', '.join(WAYS)}")
    report([compare(network, options) for network in options.networks], options.out)


if __name__ == "__main__":
    main()
