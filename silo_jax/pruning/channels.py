"""Pruning of whole output channels: the filters of a convolution, the units of a dense layer."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from silo_jax.checks import require_choice
from silo_jax.pruning.allocation import Share
from silo_jax.pruning.checked import require_axis
from silo_jax.pruning.layers import Layers, prune_layers
from silo_jax.pruning.prune import Criterion, layers_of, with_layers

PyTree = Any

CHANNEL_SCOPES = ("global", "layerwise")


def prune_channels(
    params: PyTree,
    masks: PyTree,
    fraction: Share | None = None,
    *,
    target_sparsity: Share | None = None,
    criterion: Criterion = "magnitude",
    scope: str = "layerwise",
    min_kept: int = 1,
    output_axis: int = -1,
) -> PyTree:
    r"""Prunes whole output channels: those whose living weights have the lowest mean score.

    .. math:: s_c = \frac{1}{n} \sum_i m_{ic} \, s_{ic}

    with the scores s and the mask m of the n weights of channel c, so that channels of layers of
    different sizes can be ranked together. A channel counts as left while one of its weights is.
    Exactly ``round(fraction · remaining channels)`` go, equal ones in the order of their index.
    Biases and the next layer's weights for a channel that is gone are left alone.

    Args:
      params: tree of weights.
      masks: bool tree of the structure of ``params`` (see `init_masks`).
      fraction: share of the remaining channels to prune, in [0, 1], or a mapping (see `prune`).
      target_sparsity: instead of a fraction, the share of all channels that is to be pruned
        afterwards.
      criterion: as in `prune`; with "magnitude" the score is the mean of \|w\|.
      scope: "layerwise" takes the share of every layer, "global" ranks the channels of all.
      min_kept: channels that every layer keeps, or all if it has fewer left.
      output_axis: axis of the output channels in a kernel: -1 as in flax and haiku, 0 as in
        equinox and PyTorch.

    Returns:
      Masks of the same structure, nested in the old ones.

    Raises:
      ValueError: as `prune`; a prunable leaf that has no such axis.

    Example:
      >>> import jax.numpy as jnp
      >>> from silo_jax import init_masks, prune_channels
      >>> params = {"kernel": jnp.array([[3.0, -1.0, 2.0], [0.5, 2.0, 2.0]])}
      >>> prune_channels(params, init_masks(params), 1 / 3)["kernel"].tolist()
      [[True, False, True], [True, False, True]]

    References:
      Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, arXiv:1608.08710.
    """
    require_choice("scope", scope, CHANNEL_SCOPES)
    require_axis("output_axis", output_axis)
    layers = layers_of(params, masks, criterion)
    for path, mask in zip(layers.paths, layers.masks, strict=True):
        if not -mask.ndim <= output_axis < mask.ndim:
            raise ValueError(
                f"output_axis: {output_axis}; allowed: an axis of {path}, {mask.shape}"
            )
    scores = layers.score(layers.scores) if layers.score and layers.paths else layers.scores
    channels = Layers(
        paths=layers.paths,
        scores=[
            _channel_score(*leaf, output_axis) for leaf in zip(scores, layers.masks, strict=True)
        ],
        masks=[mask.any(_other_axes(mask, output_axis)) for mask in layers.masks],
    )
    kept = prune_layers(channels, fraction, target_sparsity, scope=scope, min_kept=min_kept)
    return with_layers(
        masks,
        [
            mask & jnp.expand_dims(channel, _other_axes(mask, output_axis))
            for mask, channel in zip(layers.masks, kept, strict=True)
        ],
    )


def _channel_score(score: jax.Array, mask: jax.Array, output_axis: int) -> jax.Array:
    living = jnp.where(mask, score.astype(jnp.float32), 0)
    num_channels = mask.shape[output_axis]
    return living.sum(_other_axes(mask, output_axis)) / max(mask.size // max(num_channels, 1), 1)


def _other_axes(mask: jax.Array, output_axis: int) -> tuple[int, ...]:
    return tuple(np.delete(np.arange(mask.ndim), output_axis).tolist())
