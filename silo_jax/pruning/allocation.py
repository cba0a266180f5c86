"""How many weights each layer loses: scopes and budgets, as integers that add up exactly."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from silo_jax.checks import require
from silo_jax.pruning.masks import matching
from silo_jax.pruning.rounding import Words, fixed_point, round_product
from silo_jax.pruning.search import search, share_out, sum_by_group

SCOPES = ("global", "layerwise", "erdos_renyi", "erk", "lamp")

Share = ArrayLike | Mapping[str, ArrayLike]


def shares_by_leaf(
    name: str, share: Share, paths: Sequence[str]
) -> tuple[tuple[int, ...], list[ArrayLike]]:
    """The group of each leaf, one for each expression of a mapping, and the group's share.

    Leaves that no expression takes are a group with the share 0.

    Raises:
      ValueError: a share outside [0, 1] or not a scalar; an expression that matches no leaf; a leaf
        that several match and none is the path of.
    """
    if not isinstance(share, Mapping):
        _require_share(name, share)
        return (0,) * len(paths), [share] * len(paths)
    for pattern, value in share.items():
        _require_share(f"{name}[{pattern!r}]", value)
    takes = [matching(name, pattern, paths) for pattern in share]
    shares = [*share.values(), 0.0]
    groups = tuple(_group_of(name, path, list(share), takes) for path in paths)
    return groups, [shares[group] for group in groups]


def _group_of(name: str, path: str, patterns: list[str], takes: list[set[str]]) -> int:
    if path in patterns:
        return patterns.index(path)
    taking = [i for i, taken in enumerate(takes) if path in taken]
    if len(taking) > 1:
        both = " and ".join(repr(patterns[i]) for i in taking)
        raise ValueError(f"{name}: {path} matches {both}; allowed: one expression for a leaf")
    return taking[0] if taking else len(takes)


def stack_shares(shares: Sequence[ArrayLike]) -> Words:
    """The shares of the leaves as fixed-point numbers, three uint32 arrays (num_leaves,)."""
    units, high, low = zip(*map(fixed_point, shares), strict=True)
    return jnp.stack(units), jnp.stack(high), jnp.stack(low)


def counts_to_prune(
    shares: Words,
    sizes: Sequence[int],
    remaining: jax.Array,
    *,
    groups: Sequence[int],
    of_all: bool,
) -> jax.Array:
    """How many weights each leaf's group loses, int32 (num_leaves,).

    Args:
      shares: of each leaf's group, from `stack_shares`.
      sizes: weights of each leaf, pruned ones included.
      remaining: weights that are left in each leaf, int32 (num_leaves,).
      groups: index of each leaf's group.
      of_all: whether the share is the sparsity to reach, instead of a share of what is left.
    """
    left = sum_by_group(remaining, groups)
    if not of_all:
        return round_product(shares, left).astype(jnp.int32)
    size = sum_by_group(jnp.asarray(sizes, jnp.int32), groups)
    goal = size - round_product(shares, size).astype(jnp.int32)
    return jnp.maximum(left - goal, 0)


def erdos_renyi_counts(
    counts: jax.Array,
    shapes: Sequence[tuple[int, ...]],
    remaining: jax.Array,
    caps: jax.Array,
    *,
    groups: Sequence[int],
    whole_kernel: bool,
) -> jax.Array:
    r"""How many weights each leaf loses when what it keeps is to follow an Erdős–Rényi budget.

    A leaf keeps ε · (n_in + n_out) · (places of the kernel), or with ``whole_kernel`` ε times the
    sum of all its dimensions (ERK): so its density is ε (n_in + n_out) / (n_in n_out), or ε times
    the sum over the product. It keeps no more than it has and no less than its cap leaves; ε is
    what makes the group lose its count.

    Args:
      counts: weights that each leaf's group loses, int32 (num_leaves,).
      shapes: of the kernels, (…, n_in, n_out).
      remaining: weights that are left in each leaf, int32 (num_leaves,).
      caps: the most that a leaf may lose, int32 (num_leaves,).
      groups: index of each leaf's group.
      whole_kernel: ERK.

    References:
      Mocanu et al., Nature Communications 2018, arXiv:1707.04780; Evci et al., "Rigging the
      Lottery", ICML 2020, arXiv:1911.11134.
    """
    weights = np.array([_erdos_renyi_weight(shape, whole_kernel) for shape in shapes], np.float32)
    least = remaining - caps

    def kept_beyond_least(bounds: jax.Array) -> jax.Array:
        epsilon = lax.bitcast_convert_type(bounds << 1, jnp.float32)  # in the order of the bounds
        budget = jnp.floor(epsilon * weights[:, None])
        budget = jnp.where(budget < 2.0**30, budget, 2.0**30).astype(jnp.int32)
        return jnp.clip(budget - least[:, None], 0, caps[:, None])

    spare = sum_by_group(caps, groups)
    totals = spare - jnp.minimum(counts, spare)
    found = search(kept_beyond_least, totals, groups=groups, num_bits=30)
    return caps - share_out(totals, found, groups=groups, caps=caps)


def lamp_scores(scores: jax.Array, alive: jax.Array) -> jax.Array:
    r"""Scores by which weights of several layers are ranked together, from those within a layer.

    .. math:: |s_i| \Big/ \sqrt{\textstyle\sum_{j \ge i} s_j^2}

    with the living weights of the leaf in ascending order of |s|; its square is the paper's score.
    It takes a sort of the leaf. NaN stays NaN.

    References:
      Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021,
      arXiv:2010.07611.
    """
    flat = jnp.abs(scores.astype(jnp.float32)).ravel()
    numbers = jnp.where(alive.ravel() & ~jnp.isnan(flat), flat, 0)
    largest = jnp.max(numbers, initial=0)
    numbers = numbers / jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    order = jnp.argsort(numbers)
    ascending = numbers[order]
    not_lower = lax.cumsum(jnp.square(ascending), reverse=True)
    ranked = ascending / jnp.where(not_lower > 0, jnp.sqrt(not_lower), 1)
    ranked = jnp.zeros_like(flat).at[order].set(ranked)
    return jnp.where(jnp.isnan(flat), flat, ranked).reshape(scores.shape)


def _erdos_renyi_weight(shape: tuple[int, ...], whole_kernel: bool) -> float:
    if whole_kernel or len(shape) < 2:
        return float(sum(shape))
    return float(sum(shape[-2:]) * np.prod(shape[:-2]))


def _require_share(name: str, share: ArrayLike) -> None:
    require(name, share, lambda s: (s >= 0) & (s <= 1), "between 0 and 1")
    if np.ndim(share):
        raise ValueError(f"{name}: shape {np.shape(share)}; allowed: a scalar")
