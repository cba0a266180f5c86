"""Some of a set's classes, chosen by name or by label."""

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from silo_jax.checks import shown

Classes = str | Sequence[str | int]


def chosen_labels(classes: Classes, names: Sequence[str]) -> np.ndarray:
    """The labels of the chosen classes, in the order in which they are listed.

    Args:
      classes: names as the set has them ("n01443537" of ImageNet) or labels (1), two or more; or
        one string of them with commas between, in which a number that is a name is meant as such;
        or the path of a text file with one name a line;
        () and "" take all classes.
      names: of the set's classes, by label.

    Returns:
      int64 of shape (k,): the k-th class listed is label k from then on (see `renumbered`).

    Raises:
      ValueError: a class is unknown or listed twice, there are fewer than two, or the file cannot
        be read.

    Example:
      >>> from silo_jax.data.classes import chosen_labels
      >>> chosen_labels(("ship", 0), ["cat", "dog", "ship"]).tolist()
      [2, 0]
    """
    listed = _listed(classes, names) if isinstance(classes, str) and classes else tuple(classes)
    if not listed:
        return np.arange(len(names))
    labels = {name: label for label, name in enumerate(names)}
    labels |= {label: label for label in range(len(names))}  # type: ignore[misc]
    for one in listed:
        if not isinstance(one, str | int) or isinstance(one, bool) or one not in labels:
            raise ValueError(f"data.classes: {shown(one)}; allowed: {_allowed(one, names)}")
    chosen = [labels[one] for one in listed]  # type: ignore[index]
    label, count = Counter(chosen).most_common(1)[0]
    if count > 1:
        raise ValueError(f"data.classes: {names[label]!r} {count} times; allowed: each class once")
    if len(chosen) < 2:
        raise ValueError(f"data.classes: {shown(listed)}; allowed: two classes or more")
    return np.array(chosen)


def renumbered(labels: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the images of the chosen classes are, and their labels in the new numbering.

    Args:
      labels: of a split, at least 0, of shape (n,).
      chosen: from `chosen_labels`.

    Returns:
      Positions in ascending order, and int32 labels 0..k - 1 for them.

    Example:
      >>> import numpy as np
      >>> from silo_jax.data.classes import renumbered
      >>> [a.tolist() for a in renumbered(np.array([0, 1, 2, 0]), np.array([2, 0]))]
      [[0, 2, 3], [1, 0, 1]]
    """
    numbers = np.full(max(labels.max(initial=0), chosen.max()) + 1, -1, np.int32)
    numbers[chosen] = np.arange(len(chosen))
    kept = np.flatnonzero(numbers[labels] >= 0)
    return kept, numbers[labels[kept]]


def _listed(classes: str, names: Sequence[str]) -> Sequence[str | int]:
    if "," not in classes:
        return _from_file(classes)
    parts = [part.strip() for part in classes.split(",")]
    return [int(part) if part.isdecimal() and part not in names else part for part in parts]


def _from_file(path: str) -> tuple[str, ...]:
    try:
        lines = Path(path).expanduser().read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"data.classes: {path!r}; allowed: names of classes, or a text file with one a line"
            f" ({error})"
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f"data.classes: {path!r} is empty; allowed: two classes or more")
    return names


def _allowed(one: object, names: Iterable[str]) -> str:
    names = list(names)
    near = get_close_matches(str(one), names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"a name or label of the set's {len(names)} classes{hint}"
