"""Histograms brought to a common axis, on which those of all cycles can be laid over each other."""

import re

import numpy as np
from numpy.typing import NDArray

from silo_jax.reporting.premise.results import NETWORK, Premise
from silo_jax.reporting.reading import Columns

_NUM_BINS = 81
_SHOWN = 0.99  # of the values of the widest cycle


def layers_of(premise: Premise, quantity: str, table: Columns | None = None) -> list[str]:
    """The layers that have a quantity, by name; Dense_2 comes before Dense_10.

    Args:
        premise: Results to look at.
        quantity: One of `QUANTITIES`.
        table: In which; without it the table of widths.
    """
    table = premise.widths if table is None else table
    names = {*table["layer"][table["quantity"] == quantity].tolist()} - {NETWORK}
    return sorted(names, key=lambda name: [p.zfill(9) for p in re.split(r"(\d+)", name)])


def pooled(
    premise: Premise, moment: str, quantity: str, layer: str = NETWORK
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values at one moment, those of all seeds together.

    Args:
        premise: Results to look at.
        moment: One of `MOMENTS`.
        quantity: One of `QUANTITIES`.
        layer: A layer, or the whole network.

    Returns:
        The edges of equal bins, within which the cycle with the widest distribution has 99 % of
        its values; and the share of each cycle's values in each bin, NaN where it has none, shape
        (measured cycles, bins).
    """
    table = premise.histograms if layer == NETWORK else premise.layer_histograms
    rows = (table["moment"] == moment) & (table["quantity"] == quantity)
    rows &= table["layer"] == layer
    left, right, counts, cycle = (table[c][rows] for c in ("left", "right", "count", "cycle"))
    limit = _limit(np.maximum(np.abs(left), np.abs(right)), counts, cycle)
    edges = np.linspace(-limit, limit, _NUM_BINS + 1)
    own = [cycle == one for one in premise.measured]
    shares = np.array([_share(left[o], right[o], counts[o], edges) for o in own])
    # Without the side on which there is nothing, as with ReLU.
    filled = np.flatnonzero(np.nansum(shares, axis=0))
    start, end = (filled[0], filled[-1] + 1) if filled.size else (0, _NUM_BINS)
    return edges[start : end + 1], shares[:, start:end]


def _limit(size: NDArray[np.float64], counts: NDArray[np.int64], cycle: NDArray[np.int64]) -> float:
    """The size below which any cycle has the share shown of its values."""
    largest = 0.0
    for one in np.unique(cycle):
        own = cycle == one
        order = np.argsort(size[own])
        below = np.cumsum(counts[own][order])
        index = np.searchsorted(below, _SHOWN * below[-1])
        largest = max(largest, float(size[own][order][index]))
    return largest or 1.0


def _share(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    counts: NDArray[np.int64],
    edges: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Spreads the counts of fine bins evenly over themselves, and sums them in coarse ones."""
    points, inverse = np.unique(np.concatenate([left, right]), return_inverse=True)
    if not points.size:
        return np.full(len(edges) - 1, np.nan)
    # The cumulated share rises in a straight line within a bin, and is level where there is none.
    rises = np.zeros(len(points))
    np.add.at(rises, inverse.reshape(-1)[len(left) :], counts)
    below = np.cumsum(rises) / counts.sum()
    return np.diff(np.interp(edges, points, below, left=0.0, right=1.0))
