"""Pruning: from weights and masks to masks with exactly so many weights fewer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from silo_jax.pruning.allocation import Share
from silo_jax.pruning.checked import check_scores, check_trees, criterion_function
from silo_jax.pruning.layers import LayerReport, Layers, prune_layers, report_layers
from silo_jax.pruning.masks import named_leaves

PyTree = Any
Criterion = str | Callable[[PyTree], PyTree]


def prune(
    params: PyTree,
    masks: PyTree,
    fraction: Share | None = None,
    *,
    target_sparsity: Share | None = None,
    criterion: Criterion = "magnitude",
    scope: str = "global",
    min_kept: int = 1,
) -> PyTree:
    r"""Prunes a share of the weights that are left: those with the lowest scores.

    Exactly ``round(fraction · remaining)`` weights go, as Python rounds (ties to even), under
    ``jit`` as well, of the fraction as it arrives: a traced one is a float32, a Python number that
    the jitted function closes over keeps all its digits. Weights that are pruned already are never
    counted again, whatever their value. Scores are compared as float32, or as they are where all
    are of one 16-bit type; equal ones go in the order of the leaves and of the flat index. Leaves
    may be sharded: they stay where they are, and devices exchange counts.

    How the number is shared among the layers is the scope's:

    - ``"global"`` ranks all weights together;
    - ``"layerwise"`` takes the share of every layer;
    - ``"erdos_renyi"`` and ``"erk"`` leave layers with a density in proportion to
      :math:`(n_{in} + n_{out}) / (n_{in} n_{out})`, and ERK to the sum over the product of all
      dimensions of the kernel, but never more than they have;
    - ``"lamp"`` ranks all together by layer-adaptive scores,
      :math:`s_i^2 / \sum_{s_j \ge s_i} s_j^2` with the sum over the layer.

    Args:
      params: tree of weights.
      masks: bool tree of the structure of ``params`` (see `init_masks`).
      fraction: share of the remaining prunable weights to prune, in [0, 1]; may be traced, and is
        clipped to that then. Or a mapping from regular expressions on paths to fractions,
        ``{"Conv": 0.1, "Dense": 0.3}``: leaves under the same expression are taken together as the
        scope says, those under none are left alone, and none may be under two, unless one is its
        very path.
      target_sparsity: instead of a fraction, the share of all prunable weights that is to be
        pruned afterwards: ``size - round(target_sparsity · size)`` stay, or fewer where fewer are
        left. A number or a mapping, as the fraction.
      criterion: "magnitude", or a function from ``params`` to a tree of scores of the same
        structure and shapes (see `silo_jax.criteria`); the lowest are pruned.
      scope: one of the above.
      min_kept: weights that every layer keeps, or all if it has fewer left. Other layers give in
        its place; if none can, fewer weights go than asked for. 0 lets layers be pruned away.

    Returns:
      Masks of the same structure, nested in the old ones: none comes back.

    Raises:
      ValueError: an argument is not allowed; both or neither of fraction and target_sparsity; masks
        that do not fit the weights; scores that are NaN (when concrete; traced NaNs rank above
        every number).

    Warns:
      UserWarning: with ``min_kept=0``, the layers that were pruned away (when concrete).

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import init_masks, prune
      >>> params = {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]])}
      >>> prune(params, init_masks(params), 0.5)["kernel"].tolist()
      [[True, False], [False, True]]

    References:
      Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS
      2015, arXiv:1506.02626; for ERK and LAMP arXiv:1911.11134 and arXiv:2010.07611.
    """
    layers = layers_of(params, masks, criterion)
    pruned = prune_layers(layers, fraction, target_sparsity, scope=scope, min_kept=min_kept)
    return with_layers(masks, pruned)


def prune_and_report(
    params: PyTree,
    masks: PyTree,
    fraction: Share | None = None,
    *,
    target_sparsity: Share | None = None,
    criterion: Criterion = "magnitude",
    scope: str = "global",
    min_kept: int = 1,
) -> tuple[PyTree, dict[str, LayerReport]]:
    """`prune`, with a report of every prunable layer: all that the end of a cycle needs.

    Args:
      params: see `prune`, as all others.
      masks: see `prune`.
      fraction: see `prune`.
      target_sparsity: see `prune`.
      criterion: see `prune`.
      scope: see `prune`.
      min_kept: see `prune`.

    Returns:
      The masks, and for the path of each prunable leaf its `LayerReport`.

    Raises:
      ValueError: as `prune`.

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import init_masks, prune_and_report
      >>> params = {"a": jnp.array([[3.0, -1.0]]), "b": jnp.array([[0.5, 2.0]])}
      >>> masks, report = prune_and_report(params, init_masks(params), 0.25)
      >>> for path, layer in report.items():
      ...     print(path, layer.size, layer.kept, layer.density, layer.smallest_kept_score)
      a 2 2 1.0 1.0
      b 2 1 0.5 2.0
    """
    layers = layers_of(params, masks, criterion)
    pruned = prune_layers(layers, fraction, target_sparsity, scope=scope, min_kept=min_kept)
    return with_layers(masks, pruned), report_layers(layers._replace(masks=pruned))


def layers_of(params: PyTree, masks: PyTree, criterion: Criterion) -> Layers:
    """The prunable leaves with their masks and what the criterion scores, checked.

    Raises:
      ValueError: an unknown criterion; masks or scores that do not fit the weights.
    """
    score_of = criterion_function(criterion)
    check_trees(params, masks)
    masks = jax.tree.map(jnp.asarray, masks)
    scores = score_of(params) if callable(criterion) else params
    check_scores(scores, masks)
    leaves = zip(named_leaves(masks), jax.tree.leaves(scores), strict=True)
    prunable = [(path, score, mask) for (path, mask), score in leaves if mask.ndim]
    return Layers(
        paths=[path for path, _, _ in prunable],
        scores=[score for _, score, _ in prunable],
        masks=[mask for _, _, mask in prunable],
        score=None if callable(criterion) else score_of,
    )


def with_layers(masks: PyTree, layers: list[jax.Array]) -> PyTree:
    """The masks with those of the prunable leaves replaced."""
    new = iter(layers)
    return jax.tree.map(lambda mask: next(new) if jnp.ndim(mask) else jnp.asarray(mask), masks)
