"""Every network: its parameters, the time of forward and backward pass, and a short run of it.

    TFDS_DATA_DIR=DIR python -m benchmarks.networks --out=benchmarks/results/networks.json

The time is that of the loss and its gradients for one batch in training, of 128 random images as
small networks take them, or of 8 of 224×224 pixels. The run has two cycles of 8 steps, on images of
two classes of CIFAR-10 in their own size (Fashion-MNIST for networks of grey images), and is
evaluated on all test and validation images of these; networks for 224×224 pixels have none.
Every run is a process of its own.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.measure import report, seconds_in_turn
from silo_jax.models import MODELS, create_model, model_options
from silo_jax.pruning import init_masks

GREY = ("mlp", "lenet_300_100", "lenet5")
LARGE = ("resnet50", "vit_ti16", "vit_s16", "vit_b16")
CONFIG = Path(__file__).with_name("two_cycles_config.py")


def time_network(name: str, repeats: int) -> dict[str, Any]:
    """Parameters, and the milliseconds of a forward and backward pass."""
    if name in LARGE:
        shape, num_classes = (8, 224, 224, 3), 1000
    else:
        shape, num_classes = (128, 28, 28, 1) if name in GREY else (128, 32, 32, 3), 10
    small = name not in LARGE and "stem" in model_options(name)
    model = create_model(name, num_classes=num_classes, **({"stem": "cifar"} if small else {}))
    images = jax.random.normal(jax.random.key(0), shape)
    labels = jnp.arange(shape[0]) % num_classes
    variables = model.init(jax.random.key(1), images[:1], train=False)
    params, rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}

    def loss_of(params, images):
        logits, updated = model.apply(
            {"params": params, **rest},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updated

    gradients = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    started = time.perf_counter()
    compiled = gradients.lower(params, images).compile()
    compile_seconds = time.perf_counter() - started
    seconds = seconds_in_turn({name: lambda: compiled(params, images)}, repeats)[name]
    prunable = init_masks(params, model.prunable)
    return {
        "network": name,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "prunable": sum(mask.size for mask in jax.tree.leaves(prunable) if mask.ndim),
        "images": "x".join(map(str, shape)),
        "forward_backward_ms": 1e3 * statistics.median(seconds),
        "compile_seconds": compile_seconds,
    }


def run_two_cycles(name: str) -> dict[str, Any]:
    """A run from the command line: whether it finished, how long it took, how dense it ended."""
    data = "fashion_mnist" if name in GREY else "cifar10"
    with tempfile.TemporaryDirectory() as workdir:
        command = [sys.executable, "-m", "experiments.run", f"--config={CONFIG}:{name}"]
        command += [f"--config.data.name={data}", f"--workdir={workdir}"]
        started = time.perf_counter()
        result = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if result.returncode:
            return {"two_cycles": result.stderr.strip().splitlines()[-1]}
        rows = list(csv.DictReader((Path(workdir) / "cycles.csv").open()))
    finished = f"finished, {len(rows)} cycles, density {float(rows[-1]['density']):.3f}"
    return {"two_cycles": finished, "run_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=[*MODELS], choices=[*MODELS])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out")
    options = parser.parse_args()
    report(
        (
            time_network(name, options.repeats) | ({} if name in LARGE else run_two_cycles(name))
            for name in options.networks
        ),
        options.out,
    )


if __name__ == "__main__":
    main()
