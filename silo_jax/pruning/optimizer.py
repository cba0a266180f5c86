"""An optax wrapper under which pruned weights, and all that is accumulated over them, stay zero."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from silo_jax.checks import shown
from silo_jax.pruning.masks import apply_mask, apply_masks, check_fit

PyTree = Any


def masked(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Makes an optimizer see and move only the weights that are left.

    Gradients, weights and every accumulator of the shape of the weights (momentum, second moments,
    averages) are masked on the way in, so that nothing sees a pruned weight or what it left behind,
    clipping by norm and weight decay included; updates and accumulators are masked again on the way
    out. Once a weight is pruned they are exactly 0 from the next update on, and the weight stays
    where it is: at 0 once `apply_masks` has put it there. Masks are data, handed to ``update`` at
    every step.

    Put it outermost: ``masked(optax.MultiSteps(…))``, ``masked(optax.partition(…))``,
    ``masked(optax.contrib.schedule_free(…))``; a wrapper around it would not hand the masks on, or
    would keep what they do not reach.

    Args:
      optimizer: an optax transformation, or a chain of them, whose state holds accumulators like
        the weights, or none. (`optax.flatten` and `optax.sm3` keep theirs in another form.)

    Returns:
      A transformation whose ``update`` takes the additional argument ``masks``: the bool tree of
      `init_masks`.

    Raises:
      ValueError: at once, for what is no optimizer; from ``init``, for one of another form; from
        ``update``, for masks that are missing or do not fit the weights, layer by layer, and for a
        state of other weights. Types and shapes are all it takes: under ``jit`` it costs nothing.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from silo_jax import masked
      >>> optimizer = masked(optax.sgd(0.5, momentum=0.9))
      >>> params, masks = {"w": jnp.array([1.0, 0.0])}, {"w": jnp.array([True, False])}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"w": jnp.ones(2)}, state, params, masks=masks)
      >>> updates["w"].tolist()
      [-0.5, 0.0]
    """
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        allowed = "an optax transformation such as optax.sgd(0.1)"
        raise ValueError(f"optimizer: {shown(optimizer)}; allowed: {allowed}")
    inner = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> PyTree:
        state = inner.init(params)
        try:
            optax.tree_map_params(
                inner, lambda leaf, _: leaf, state, params, is_leaf=_is_placeholder
            )
        except (TypeError, ValueError):
            raise ValueError(
                "optimizer: its accumulators are not laid out as the weights are; allowed: "
                "optimizers other than optax.flatten(…), optax.sm3(…) and the like"
            ) from None
        return state

    def update(
        updates: PyTree,
        state: PyTree,
        params: PyTree | None = None,
        *,
        masks: PyTree | None = None,
        **extra_args: Any,
    ) -> tuple[PyTree, PyTree]:
        if masks is None:
            raise ValueError("masks: None; allowed: update(..., masks=masks) with the bool tree")
        if params is not None:
            check_fit(params, masks)
            params = jax.tree.map(apply_mask, params, masks)
        check_fit(updates, masks, "updates", stacks=True)
        updates = jax.tree.map(apply_mask, updates, masks)
        state = mask_accumulators(state, masks)
        updates, state = inner.update(updates, state, params, **extra_args)
        return apply_masks(updates, masks), mask_accumulators(state, masks)

    def mask_accumulators(state: PyTree, masks: PyTree) -> PyTree:
        try:
            return optax.tree_map_params(
                inner, _mask_accumulator, state, masks, is_leaf=_is_placeholder
            )
        except (TypeError, ValueError):
            raise ValueError("state: not of these weights; allowed: that of init(params)") from None

    return optax.GradientTransformationExtraArgs(init, update)


def _is_placeholder(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)


def _mask_accumulator(leaf: Any, mask: jax.Array) -> Any:
    """Masks what has the weights' shape, or stacks of it; factored moments and the like pass."""
    if _is_placeholder(leaf):
        return leaf
    mask = jnp.asarray(mask)
    if jnp.shape(leaf)[-mask.ndim :] != mask.shape:
        return leaf
    return apply_mask(leaf, mask)
