"""The time of a masked train step over that of the same step without masks.

    python -m benchmarks.masked_step --out=benchmarks/results/masked_step.json

The step without masks is the same code on masks that say of every leaf that it is kept whole, for
which nothing is compiled. Steps run inside an epoch's scan, on random images.
"""

import argparse
import statistics

from benchmarks.epochs import Epochs
from benchmarks.measure import median_ratio, ratio_quartiles, report, seconds_in_turn

STEPS = {"lenet_300_100": 200, "resnet20": 4, "vit_cifar": 4}  # in an epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=[*STEPS], choices=[*STEPS])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--out")
    options = parser.parse_args()
    rows = []
    for network in options.networks:
        steps = STEPS[network]
        programs = {
            "masked": Epochs(network, options.batch_size, steps),
            "unmasked": Epochs(network, options.batch_size, steps, with_masks=False),
        }
        seconds = seconds_in_turn(programs, options.repeats)
        rows.append(
            {
                "network": network,
                "batch_size": options.batch_size,
                "masked_ms_per_step": 1e3 * statistics.median(seconds["masked"]) / steps,
                "unmasked_ms_per_step": 1e3 * statistics.median(seconds["unmasked"]) / steps,
                "masked_over_unmasked": median_ratio(seconds["masked"], seconds["unmasked"]),
                "its_quartiles": [
                    round(quartile, 3)
                    for quartile in ratio_quartiles(seconds["masked"], seconds["unmasked"])
                ],
            }
        )
    report(rows, options.out)


if __name__ == "__main__":
    main()
