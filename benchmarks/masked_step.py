"""The time of a masked train step over that of the same step without masks.

    python -m benchmarks.masked_step --out=benchmarks/results/masked_step.json

The step without masks is the same code on masks that say of every leaf that it is kept whole, for
which nothing is compiled. Steps run inside an epoch's scan, on random images.
How far two copies of the step without masks are apart tells what the machine's noise alone does.
Where a program's memory happens to lie makes it some per cent faster or slower for as long as it
lives: each try builds all of them anew, in a drawn order, and the median over tries counts.
"""

import argparse
import random
import statistics
from typing import Any

from benchmarks.epochs import Epochs
from benchmarks.measure import median_ratio, report, seconds_in_turn

STEPS = {"lenet_300_100": 600, "resnet20": 3, "vit_cifar": 2}  # in an epoch
_PROGRAMS = {"masked": True, "unmasked": False, "unmasked again": False}  # with masks?


def row_of(network: str, batch_size: int, tries: int, repeats: int) -> dict[str, Any]:
    drawn, steps = random.Random(0), STEPS[network]
    masked, unmasked, ratios, noise = [], [], [], []
    for _ in range(tries):
        seconds = seconds_in_turn(
            {
                name: Epochs(network, batch_size, steps, with_masks=with_masks)
                for name, with_masks in drawn.sample([*_PROGRAMS.items()], len(_PROGRAMS))
            },
            repeats,
        )
        masked += seconds["masked"]
        unmasked += seconds["unmasked"]
        ratios.append(median_ratio(seconds["masked"], seconds["unmasked"]))
        noise.append(median_ratio(seconds["unmasked again"], seconds["unmasked"]))
    return {
        "network": network,
        "batch_size": batch_size,
        "masked_ms_per_step": 1e3 * statistics.median(masked) / steps,
        "unmasked_ms_per_step": 1e3 * statistics.median(unmasked) / steps,
        "masked_over_unmasked": statistics.median(ratios),
        "of_each_try": [round(ratio, 3) for ratio in ratios],
        "unmasked_over_unmasked": statistics.median(noise),
        "of_each_try_of_that": [round(ratio, 3) for ratio in noise],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=[*STEPS], choices=[*STEPS])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--tries", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=3, help="turns of a try")
    parser.add_argument("--out")
    options = parser.parse_args()
    report(
        (
            row_of(name, options.batch_size, options.tries, options.repeats)
            for name in options.networks
        ),
        options.out,
    )


if __name__ == "__main__":
    main()
