"""After which epoch of a cycle its network is scored: the accuracies of the row in ``cycles.csv``.

What is pruned and kept is the network at the end of the cycle, whichever epoch is chosen.
"""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

SELECTIONS = ("last", "best_validation", "best_test")


def needs_test(select: str, row: Row, earlier: Sequence[Row], *, ends_cycle: bool) -> bool:
    """Whether an epoch may turn out to be the one chosen, so that the test split is evaluated.

    Args:
      select: one of ``SELECTIONS``.
      row: of the epoch, with ``val_accuracy``.
      earlier: of the epochs before it in the cycle.
      ends_cycle: whether it is the cycle's last.

    Example:
      >>> epochs = [{"val_accuracy": accuracy} for accuracy in (70.0, 80.0, 75.0)]
      >>> needs_test("best_validation", epochs[1], epochs[:1], ends_cycle=False)
      True
      >>> needs_test("best_validation", epochs[2], epochs[:2], ends_cycle=True)
      False
    """
    match select:
        case "last":
            return ends_cycle
        case "best_validation":
            return all(row["val_accuracy"] > other["val_accuracy"] for other in earlier)
        case _:
            return True


def chosen_epoch(select: str, epochs: Sequence[Row], *, last_epoch: bool = True) -> Row:
    """The row of the epoch chosen; of equally good ones the first.

    Args:
      select: one of ``SELECTIONS``.
      epochs: the rows of a cycle, with ``test_accuracy`` where `needs_test` asks for it.
      last_epoch: whether the last one may be chosen.

    Example:
      >>> epochs = [{"epoch": 1, "test_accuracy": 70.0}, {"epoch": 2, "test_accuracy": 80.0}]
      >>> chosen_epoch("best_test", epochs)["epoch"]
      2
      >>> chosen_epoch("best_test", epochs, last_epoch=False)["epoch"]
      1
    """
    candidates = epochs if last_epoch else epochs[:-1]
    if select == "last":
        return candidates[-1]
    accuracy = "val_accuracy" if select == "best_validation" else "test_accuracy"
    return max(candidates, key=lambda row: row[accuracy])
