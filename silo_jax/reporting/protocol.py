"""What a protocol does to the numbers of a study."""

from collections.abc import Mapping
from typing import Any


def protocol_notes(config: Mapping[str, Any]) -> list[str]:
    """Tells whether test data take part in what is chosen.

    Args:
        config: Nested experiment config.

    Returns:
        A sentence if the epoch that is scored is chosen by test accuracy.

    Example:
        >>> protocol_notes({"evaluation": {"select": "last"}})
        []
    """
    if config.get("evaluation", {}).get("select") != "best_test":
        return []
    return [
        "Test data take part in every choice here: the epoch that is scored is that of highest "
        "test accuracy (evaluation.select is best_test, as the authors have it). So the validation "
        "accuracies, and all that is chosen by them, are not independent of the test split, and "
        "the test accuracies are too high."
    ]
