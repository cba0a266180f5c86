"""Pruning of a list of layers, whatever tree they come from: the core of `prune`."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax.checks import require_choice, require_int
from silo_jax.pruning.allocation import (
    SCOPES,
    Share,
    counts_to_prune,
    erdos_renyi_counts,
    lamp_scores,
    shares_by_leaf,
    stack_shares,
)
from silo_jax.pruning.rounding import Words
from silo_jax.pruning.selection import count_true, lowest

_MANY = 2**31 - 1

Score = Callable[[list[jax.Array]], list[jax.Array]]


class LayerReport(NamedTuple):
    """What is left of a layer.

    Attributes:
      size: number of its weights.
      kept: number of those that are left, int scalar.
      density: kept / size, float scalar.
      smallest_kept_score: lowest score among those that are left, float scalar; inf if none is.
    """

    size: int
    kept: jax.Array
    density: jax.Array
    smallest_kept_score: jax.Array


class Layers(NamedTuple):
    """Layers to prune.

    Attributes:
      paths: their names.
      scores: floating-point arrays, or what ``score`` turns into scores.
      masks: bool arrays of the same shapes.
      score: applied within the compiled program, so that its result need not be kept.
    """

    paths: list[str]
    scores: list[jax.Array]
    masks: list[jax.Array]
    score: Score | None = None


def prune_layers(
    layers: Layers,
    fraction: Share | None,
    target_sparsity: Share | None,
    *,
    scope: str,
    min_kept: int,
) -> list[jax.Array]:
    """New masks of the layers; see `silo_jax.prune`."""
    require_choice("scope", scope, SCOPES)
    require_int("min_kept", min_kept, minimum=0)
    name, share = _one_share(fraction, target_sparsity)
    if not layers.paths:
        return []
    groups, shares = shares_by_leaf(name, share, layers.paths)
    selected = _select(
        layers.scores,
        layers.masks,
        stack_shares(shares),
        min(min_kept, _MANY),
        groups=tuple(range(len(shares))) if scope == "layerwise" else groups,
        of_all=name == "target_sparsity",
        scope=scope,
        score=layers.score,
    )
    _tell(layers.paths, selected)
    return selected.masks


def report_layers(layers: Layers) -> dict[str, LayerReport]:
    """A report of each layer by its path."""
    if not layers.paths:
        return {}
    numbers = _layer_numbers(layers.scores, layers.masks, score=layers.score)
    return {
        path: LayerReport(mask.size, *of_layer)
        for path, mask, of_layer in zip(layers.paths, layers.masks, numbers, strict=True)
    }


def _one_share(fraction: Share | None, target_sparsity: Share | None) -> tuple[str, Share]:
    if fraction is not None and target_sparsity is None:
        return "fraction", fraction
    if target_sparsity is not None and fraction is None:
        return "target_sparsity", target_sparsity
    raise ValueError(
        f"fraction: {fraction} with target_sparsity={target_sparsity}; allowed: one of the two"
    )


class _Selected(NamedTuple):
    masks: list[jax.Array]
    has_nan: jax.Array
    emptied: jax.Array


@partial(jax.jit, static_argnames=("groups", "of_all", "scope", "score"))
def _select(
    scores: list[jax.Array],
    masks: list[jax.Array],
    shares: Words,
    min_kept: int,
    *,
    groups: tuple[int, ...],
    of_all: bool,
    scope: str,
    score: Score | None,
) -> _Selected:
    scores = scores if score is None else score(scores)
    remaining, num_nan = count_true(
        [(mask, mask & jnp.isnan(s)) for s, mask in zip(scores, masks, strict=True)]
    ).T
    caps = jnp.maximum(remaining - min_kept, 0)
    sizes = [mask.size for mask in masks]
    counts = counts_to_prune(shares, sizes, remaining, groups=groups, of_all=of_all)
    if scope in ("erdos_renyi", "erk"):
        shapes = [mask.shape for mask in masks]
        whole_kernel = scope == "erk"
        counts = erdos_renyi_counts(
            counts, shapes, remaining, caps, groups=groups, whole_kernel=whole_kernel
        )
        groups = tuple(range(len(masks)))
    if scope == "lamp":
        ranked = [lamp_scores(s, mask) for s, mask in zip(scores, masks, strict=True)]
        _, counts = lowest(ranked, masks, counts, groups=groups, caps=caps)
        groups = tuple(range(len(masks)))
    going, gone = lowest(scores, masks, counts, groups=groups, caps=caps)
    return _Selected(
        masks=[mask & ~out for mask, out in zip(masks, going, strict=True)],
        has_nan=num_nan > 0,
        emptied=(remaining > 0) & (gone == remaining),
    )


@partial(jax.jit, static_argnames="score")
def _layer_numbers(
    scores: list[jax.Array], masks: list[jax.Array], *, score: Score | None
) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
    scores = scores if score is None else score(scores)
    kept = count_true([(mask, mask) for mask in masks])[:, 0]
    return [
        (num, num / max(mask.size, 1), jnp.min(s, where=mask, initial=jnp.inf).astype(float))
        for num, s, mask in zip(kept, scores, masks, strict=True)
    ]


def _tell(paths: list[str], selected: _Selected) -> None:
    """Refuses NaN and warns of emptied layers; silent when traced. One transfer to the host."""
    told = (selected.has_nan, selected.emptied)
    if any(isinstance(flags, jax.core.Tracer) for flags in told):
        return
    has_nan, emptied = jax.device_get(told)
    for path in np.array(paths)[has_nan]:
        raise ValueError(f"criterion: {path} has a score that is NaN; allowed: numbers")
    if emptied.any():
        names = ", ".join(np.array(paths)[emptied])
        warnings.warn(f"prune: no weight is left in {names}", stacklevel=4)
