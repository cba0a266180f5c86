"""What a GPU or a TPU reaches: rates, and shares of what it can do, each within one run.

    python -m benchmarks.accelerator --out=benchmarks/results/accelerator.json

- prune: of ViT-B/16's weights, over reading them 32 times, as often as a float32 has bits; a
  yardstick, as the search reads them 16 times and more. They are read as one array, in 32 passes,
  so that its rate is the memory's and not that of starting programs for every layer.
- vit: ViT-B/16 at 224 in bfloat16, as a share of what a product of large bfloat16 matrices reaches.
  Counted are the products of the forward pass, three times, as a backward pass has two for each.
- images: images of 32×32 pixels that ResNet-20 is trained on in a second, in float32 and bfloat16
  and by batch size. In float32, products are those of JAX's default: TF32 on a GPU, bfloat16 on a
  TPU.
- replicas: the same for replicas side by side (strategy "vmap"), of all together; they are
  evaluated on 500 images besides.
- launch: the steps of an epoch as one program, over as many steps launched one by one from the
  host, on a batch that is there already.

A part that fails is told so in a row of its own, and the others go on. R replicas against R runs
are in `benchmarks.replicas`, PyTorch in `benchmarks.pytorch_step`.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.epochs import Epochs
from benchmarks.measure import median_ratio, report, require_steps, seconds_in_turn
from benchmarks.prune import NETWORKS, WAYS, weights_and_masks
from benchmarks.replicas import Networks, Task

DTYPES = ("float32", "bfloat16")
BATCH_SIZES = (128, 1024)
READS = 32


def images(network: str, steps: int, repeats: int) -> Iterator[dict]:
    """Images a second of a network, in batches of one size and another."""
    for batch_size, dtype in itertools.product(BATCH_SIZES, DTYPES):
        taken = steps * BATCH_SIZES[0] // batch_size
        epochs = Epochs(network, batch_size, taken, dtype=dtype)
        seconds = seconds_in_turn({"one": epochs}, repeats)["one"]
        require_steps(network, epochs.steps_taken, (repeats + 1) * taken)
        row = {"measured": "images", "network": network, "dtype": dtype, "batch_size": batch_size}
        row |= {"steps": taken, "images_per_second": epochs.images / statistics.median(seconds)}
        yield row


def replicas(network: str, steps: int, repeats: int, number: int = 8) -> Iterator[dict]:
    """Images a second of several networks together."""
    batch_size = BATCH_SIZES[0]
    for dtype in DTYPES:
        model = {"name": network, "dtype": dtype}
        task = Task(model, (32, 32, 3), batch_size, steps, num_scored=500)
        networks = Networks(task, number, "vmap")
        seconds = seconds_in_turn({"all": networks}, repeats)["all"]
        require_steps(network, networks.steps_taken, (repeats + 1) * steps)
        row = {"measured": "replicas", "network": network, "dtype": dtype, "replicas": number}
        row |= {"batch_size": batch_size, "steps": steps}
        together = number * steps * batch_size
        yield row | {"images_per_second": together / statistics.median(seconds)}


def launch(network: str, steps: int, repeats: int, batch_size: int = 128) -> list[dict]:
    """What the steps of an epoch save by being one program."""
    whole, single = (Epochs(network, batch_size, steps) for _ in range(2))
    seconds = seconds_in_turn({"scan": whole, "steps": single.step_by_step}, repeats)
    for epochs in (whole, single):
        require_steps(network, epochs.steps_taken, (repeats + 1) * steps)
    return [
        {
            "measured": "launch",
            "network": network,
            "batch_size": batch_size,
            "ms_per_step": 1e3 * statistics.median(seconds["scan"]) / steps,
            "scan_over_steps": median_ratio(seconds["scan"], seconds["steps"]),
        }
    ]


def vit_products(tokens: int = 197, width: int = 768, depth: int = 12, classes: int = 1000) -> int:
    """Multiplications and additions of the forward pass of ViT-B/16 on an image."""
    block = 12 * tokens * width**2 + 2 * tokens**2 * width
    patches = (tokens - 1) * (16 * 16 * 3) * width
    return 2 * (depth * block + patches + width * classes)


def product(size: int) -> partial:
    """Eight products of square bfloat16 matrices, one after the other; their scale stays."""
    matrix = (jax.random.normal(jax.random.key(0), (size, size)) / size**0.5).astype(jnp.bfloat16)

    @jax.jit
    def multiplied(left: jax.Array, right: jax.Array) -> jax.Array:
        for _ in range(8):  # a loop of XLA's would copy what it carries at every turn
            left = left @ right
        return left

    return partial(multiplied, matrix, matrix)


def vit(repeats: int, batch_size: int, steps: int = 4, size: int = 8192) -> list[dict]:
    """Operations a second in the step of ViT-B/16, beside those of a matrix product."""
    epochs = Epochs("vit_b16", batch_size, steps, dtype="bfloat16")
    seconds = seconds_in_turn({"step": epochs, "product": product(size)}, repeats)
    require_steps("vit_b16", epochs.steps_taken, (repeats + 1) * steps)
    counted = {"step": 3 * vit_products() * epochs.images, "product": 8 * 2 * size**3}
    rates = {name: counted[name] / statistics.median(seconds[name]) for name in counted}
    return [
        {
            "measured": "vit",
            "network": "vit_b16",
            "batch_size": batch_size,
            "images_per_second": epochs.images / statistics.median(seconds["step"]),
            "teraflops": rates["step"] / 1e12,
            "product_teraflops": rates["product"] / 1e12,
            "share_of_product": rates["step"] / rates["product"],
        }
    ]


@jax.jit
def read_many_times(weights: jax.Array) -> jax.Array:
    """Counts weights below a bound that changes, so that every pass has to read them all."""

    def count_below(i: jax.Array, total: jax.Array) -> jax.Array:
        return total + jnp.sum(weights < i / READS)

    return lax.fori_loop(0, READS, count_below, jnp.int32(0))


def pruning(network: str, repeats: int) -> list[dict]:
    """A prune over reading the weights as often as a weight has bits."""
    params, masks = weights_and_masks(NETWORKS[network])
    together = jnp.concatenate([weight.ravel() for weight in params.values()])
    pruned, read = partial(WAYS["prune"], params, masks), partial(read_many_times, together)
    seconds = seconds_in_turn({"prune": pruned, "read": read}, repeats)
    gigabytes = READS * together.nbytes / 1e9
    return [
        {
            "measured": "prune",
            "network": network,
            "weights": together.size,
            "ms": 1e3 * statistics.median(seconds["prune"]),
            "gigabytes_read_per_second": gigabytes / statistics.median(seconds["read"]),
            f"over_{READS}_reads": median_ratio(seconds["prune"], seconds["read"]),
        }
    ]


PARTS: dict[str, Callable[[argparse.Namespace], Iterable[dict]]] = {
    "prune": lambda options: pruning("ViT-B/16", options.repeats),
    "vit": lambda options: vit(options.repeats, options.vit_batch_size),
    "images": lambda options: images("resnet20", options.steps, options.repeats),
    "replicas": lambda options: replicas("resnet20", options.steps, options.repeats),
    "launch": lambda options: launch("resnet20", options.steps, options.repeats),
}


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows of all parts; of one that fails, why."""
    for name in options.parts:
        try:
            yield from PARTS[name](options)
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            yield {"measured": name, "failed": str(error).partition("\n")[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=[*PARTS], choices=[*PARTS])
    parser.add_argument("--steps", type=int, default=256, help="of 128 images, of ResNet-20")
    parser.add_argument("--vit-batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out")
    options = parser.parse_args()
    if jax.default_backend() == "cpu":
        parser.error("no accelerator; allowed: a GPU or a TPU")
    report(measured(options), options.out)


if __name__ == "__main__":
    main()
