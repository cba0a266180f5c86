"""What saving the state adds to an epoch, and the size of a checkpoint over that of the state.

    python -m benchmarks.checkpointing --out=benchmarks/results/checkpointing.json

Train steps while a state is being written take turns with as many while none is. What a save adds
to an epoch is the time for which it keeps the thread, and that by which the steps are slower. Both
are the same for epochs of any length, so that short ones tell the share of a whole one.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import jax

from benchmarks.epochs import Epochs
from benchmarks.measure import report
from silo_jax.checkpoint import Checkpoints

# Steps in a turn, which have to last until the state is written; images in a whole epoch, which are
# those of the training set less a tenth for validation.
NETWORKS = {"lenet_300_100": (1000, 54_000), "resnet20": (16, 45_000)}


class Saving:
    """Trains with and without a save, turn by turn."""

    def __init__(self, train: Epochs, directory: Path, checkpoints: Checkpoints) -> None:
        self._train, self._directory, self._checkpoints = train, directory, checkpoints

    def turn(self) -> dict[str, float]:
        """Seconds of the steps alone, of the call that saves, of the steps then, of the writing."""
        started = time.perf_counter()
        state = jax.block_until_ready(self._train())
        trained = time.perf_counter()
        self._checkpoints.save(state)
        saved = time.perf_counter()
        step = int(state.step)
        jax.block_until_ready(self._train())
        trained_again = time.perf_counter()
        while not self.path(step).exists():
            time.sleep(0.001)
        return {
            "steps": trained - started,
            "save": saved - trained,
            "steps_while_writing": trained_again - saved,
            "outlasting": time.perf_counter() - trained_again,
        }

    def path(self, step: int) -> Path:
        """Where the state of a step is when it is complete."""
        return self._directory / "states" / str(step)


def checkpoint_size(path: Path) -> tuple[int, int]:
    """The number of files of a checkpoint, and of their bytes."""
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    return len(sizes), sum(sizes)


def measure(
    network: str, batch_size: int, steps: int, images_per_epoch: int, repeats: int
) -> dict[str, Any]:
    train = Epochs(network, batch_size, steps)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with closing(Checkpoints(directory, steps_per_cycle=2**30)) as checkpoints:
            saving = Saving(train, directory, checkpoints)
            turns = [saving.turn() for _ in range(1 + repeats)][1:]  # the first one warms up
            newest = checkpoints.latest_step()
        num_files, num_bytes = checkpoint_size(saving.path(newest))
    median = {part: statistics.median(turn[part] for turn in turns) for part in turns[0]}
    slower = statistics.median(turn["steps_while_writing"] - turn["steps"] for turn in turns)
    added, step = median["save"] + slower, median["steps"] / steps
    steps_per_epoch = images_per_epoch // batch_size
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(train.state))
    return {
        "network": network,
        "batch_size": batch_size,
        "steps_in_turn": steps,
        "ms_per_step": 1e3 * step,
        "ms_in_save": 1e3 * median["save"],
        "ms_slower_while_writing": 1e3 * slower,
        "ms_written_after_the_steps": 1e3 * median["outlasting"],
        "percent_of_64_steps": 100 * added / (64 * step),
        "steps_per_epoch": steps_per_epoch,
        "percent_of_epoch": 100 * added / (steps_per_epoch * step),
        "state_bytes": state_bytes,
        "checkpoint_files": num_files,
        "checkpoint_bytes": num_bytes,
        "checkpoint_over_state": num_bytes / state_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=[*NETWORKS], choices=[*NETWORKS])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out")
    options = parser.parse_args()
    rows = [
        measure(network, options.batch_size, *NETWORKS[network], options.repeats)
        for network in options.networks
    ]
    report(rows, options.out)


if __name__ == "__main__":
    main()
