r"""The time of a train step over that of PyTorch on the same device, measured in one run.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch==2.13.0 numpy
    python -m benchmarks.pytorch_step --python=/tmp/torch/bin/python \
        --out=benchmarks/results/pytorch_step.json

Ours is the step of a run: it draws its images from the data set, normalises them, and applies masks
to weights, gradients and momentum. PyTorch's has its images ready. On a CPU it runs eagerly, with
masks as tensors in each of its two layouts, and with masks that go through NumPy at every step; on
a GPU in channels-last, eagerly and with torch.compile, also in its mode with CUDA graphs. All of
them take turns; a way that fails in its first turn is told so, and the others go on. For a GPU:

    python -m benchmarks.pytorch_step --python=/tmp/torch/bin/python --networks=resnet20 \
        --dtype=bfloat16 --out=benchmarks/results/pytorch_step_gpu.json
"""

import argparse
import json
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax

from benchmarks.epochs import Epochs
from benchmarks.measure import (
    median_ratio,
    ratio_quartiles,
    report,
    require_steps,
    seconds_in_turn,
)

STEPS = {"lenet_300_100": 200, "resnet20": 4, "vgg19": 2, "vit_cifar": 4}  # in a turn on a CPU
STEPS_OF_GPU = 256
WAYS = {
    "cpu": {
        "contiguous": (),
        "channels_last": ("--layout=channels_last",),
        "numpy_masks": ("--masks=numpy",),
    },
    "gpu": {
        "eager": ("--layout=channels_last", "--device=cuda"),
        "compiled": ("--layout=channels_last", "--device=cuda", "--compile=default"),
        "graphs": ("--layout=channels_last", "--device=cuda", "--compile=reduce-overhead"),
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
        self.facts: dict[str, Any] = json.loads(self._answer())

    def turn(self) -> None:
        """Some steps."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self._answer()

    def close(self) -> None:
        """Ends the other interpreter."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"{self._process.args} has ended")
        return line


def start(ways: Mapping[str, Callable[[], Torch]]) -> tuple[dict[str, Torch], dict[str, str]]:
    """Those of the ways that could do a turn, in which they compile; and why the others did not."""
    started, failed = {}, {}
    for way, make in ways.items():
        try:
            torch = make()
            torch.turn()
            started[way] = torch
        except (RuntimeError, OSError) as error:
            failed[way] = str(error)
    return started, failed


def compare(network: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    platform, batch_size = jax.default_backend(), options.batch_size
    steps = options.steps or (STEPS[network] if platform == "cpu" else STEPS_OF_GPU)
    ours = Epochs(network, batch_size, steps, dtype=options.dtype)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(ours.state.params))
    same = (f"--batch-size={batch_size}", f"--steps={steps}", f"--dtype={options.dtype}")
    row: dict[str, Any] = {"network": network, "dtype": options.dtype, "batch_size": batch_size}
    row |= {"steps": steps, "parameters": num_parameters}
    theirs, failed = start(
        {
            way: partial(Torch, options.python, network, (*same, *arguments))
            for way, arguments in WAYS[platform].items()
        }
    )
    row |= {f"{way}_failed": why for way, why in failed.items()}
    for way, torch in theirs.items():
        row["pytorch"] = {key: torch.facts[key] for key in torch.facts if key != "parameters"}
        if torch.facts["parameters"] != num_parameters:
            raise ValueError(f"{way}: {torch.facts['parameters']} parameters, not {num_parameters}")
    seconds = seconds_in_turn(
        {"ours": ours} | {way: torch.turn for way, torch in theirs.items()}, options.repeats
    )
    require_steps("ours", ours.steps_taken, (options.repeats + 1) * steps)
    for torch in theirs.values():
        torch.close()
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
    parser.add_argument(
        "--steps", type=int, default=0, help="in a turn; 0 for as many as take a while"
    )
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out")
    options = parser.parse_args()
    if jax.default_backend() not in WAYS:
        parser.error(f"PyTorch on a {jax.default_backend()}; allowed: {', '.join(WAYS)}")
    report((compare(network, options) for network in options.networks), options.out)


if __name__ == "__main__":
    main()
