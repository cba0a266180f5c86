"""The time of a masked train step over that of the same step without masks.

    python -m benchmarks.masked_step --out=benchmarks/results/masked_step.json

The step without masks is the same code on masks that say of every leaf that it is kept whole, for
which nothing is compiled. Steps run inside an epoch's scan, on random images.
How far two copies of the step without masks are apart tells what the machine's noise alone does.
"""

import argparse
import statistics
from typing import Any

from benchmarks.epochs import Epochs
from benchmarks.measure import median_ratio, report, rounded_quartiles, seconds_in_turn

STEPS = {"lenet_300_100": 600, "resnet20": 3, "vit_cifar": 2}  # in an epoch


def row_of(network: str, batch_size: int, repeats: int) -> dict[str, Any]:
    steps = STEPS[network]
    programs = {
        "masked": Epochs(network, batch_size, steps),
        "unmasked": Epochs(network, batch_size, steps, with_masks=False),
        "unmasked again": Epochs(network, batch_size, steps, with_masks=False),
    }
    masked, unmasked, again = seconds_in_turn(programs, repeats).values()
    return {
        "network": network,
        "batch_size": batch_size,
        "masked_ms_per_step": 1e3 * statistics.median(masked) / steps,
        "unmasked_ms_per_step": 1e3 * statistics.median(unmasked) / steps,
        "masked_over_unmasked": median_ratio(masked, unmasked),
        "its_quartiles": rounded_quartiles(masked, unmasked),
        "unmasked_over_unmasked": median_ratio(again, unmasked),
        "quartiles_of_that": rounded_quartiles(again, unmasked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=[*STEPS], choices=[*STEPS])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--out")
    options = parser.parse_args()
    report(
        (row_of(name, options.batch_size, options.repeats) for name in options.networks),
        options.out,
    )


if __name__ == "__main__":
    main()
