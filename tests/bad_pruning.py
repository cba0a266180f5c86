"""Wrong arguments to the functions on masks, with sound ones to put them in."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from silo_jax import (
    apply_masks,
    criteria,
    init_masks,
    layer_order,
    masked,
    prune,
    prune_and_report,
    prune_channels,
    prune_n_m,
    sparsity,
)

PARAMS = {
    "conv": {"kernel": jnp.ones((2, 2, 4, 1))},
    "dense": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)},
}
MASKS = init_masks(PARAMS)
OTHER = {"conv": {"kernel": jnp.ones((2, 2, 4, 1), bool)}}
NUMBERS = jax.tree.map(lambda mask: mask.astype(float), MASKS)
RESHAPED = {**MASKS, "dense": {**MASKS["dense"], "kernel": jnp.ones((2, 4), bool)}}
PRUNE = {"params": PARAMS, "masks": MASKS, "fraction": 0.5}
SOUND: dict[Callable, dict[str, Any]] = {
    init_masks: {"params": PARAMS},
    apply_masks: {"tree": PARAMS, "masks": MASKS},
    sparsity: {"masks": MASKS},
    prune: PRUNE,
    prune_and_report: PRUNE,
    prune_channels: PRUNE,
    prune_n_m: {"params": PARAMS, "masks": MASKS, "n": 2, "m": 4},
    masked: {"optimizer": optax.sgd(0.1)},
    layer_order: {"function": lambda p: p["dense"]["kernel"].sum(), "params": PARAMS},
    criteria.magnitude: {"params": PARAMS},
    criteria.movement: {"params": PARAMS, "reference": PARAMS},
    criteria.magnitude_movement: {"params": PARAMS, "reference": PARAMS},
    criteria.saliency: {"params": PARAMS, "gradients": PARAMS},
    criteria.random: {"params": PARAMS, "key": jax.random.key(0)},
    criteria.lookahead: {"params": PARAMS, "chains": [["dense/kernel"]]},
}

SHARE, AT_LEAST = "between 0 and 1", "an integer of at least "
TREE, SAME = "a tree of arrays", "the same tree"
ANOTHER = "a structure other than that of "

# The arguments that are changed, the value as it is shown, and what is allowed. The refusal names
# the first of the arguments.
WRONG: dict[Callable, list[tuple[dict[str, Any], str, str]]] = {
    init_masks: [
        ({"params": {}}, "{}", TREE),
        ({"params": None}, "None", TREE),
        ({"params": jax.nn.gelu}, "<function", TREE),
        ({"prunable": 3}, "3", "a list of expressions"),
        ({"prunable": "kernel"}, "'kernel'", "a list of expressions"),
        ({"prunable": ["("]}, "'('", "regular expressions"),
        ({"prunable": [3]}, "3", "regular expressions"),
        ({"prunable": ["Conv"]}, "'Conv' matches no leaf", "conv/kernel, "),
        ({"exempt": None}, "None", "a list of expressions"),
        ({"exempt": ["Conv"]}, "'Conv' matches no leaf", "conv/kernel, "),
    ],
    apply_masks: [
        ({"masks": None, "tree": PARAMS}, f"{ANOTHER}tree, without conv/kernel", SAME),
        ({"masks": OTHER}, f"{ANOTHER}tree, without dense/bias", SAME),
        ({"masks": MASKS | {"x": True}}, f"{ANOTHER}tree, with x", SAME),
        ({"masks": NUMBERS}, "conv/kernel is float32 (2, 2, 4, 1)", "bool (2, 2, 4, 1) or"),
        ({"masks": RESHAPED}, "dense/kernel is bool (2, 4)", "bool (4, 2) or a scalar"),
        ({"masks": MASKS | {"conv": {"kernel": "x"}}}, "conv/kernel is str", "bool (2, 2, 4, 1)"),
    ],
    sparsity: [
        ({"masks": {}}, "{}", "a tree of bools"),
        ({"masks": PARAMS}, "conv/kernel is float32", "bool"),
        ({"masks": {"a": "x"}}, "a is str", "bool"),
    ],
    prune: [
        ({"params": None}, "None", TREE),
        ({"params": 3}, "3", TREE),
        ({"masks": None}, f"{ANOTHER}params", SAME),
        ({"masks": RESHAPED}, "dense/kernel is bool (2, 4)", "bool (4, 2) or a scalar"),
        ({"fraction": 1.5}, "1.5", SHARE),
        ({"fraction": True}, "True", SHARE),
        ({"fraction": 1j}, "1j", SHARE),
        ({"fraction": "half"}, "'half'", SHARE),
        ({"fraction": [0.5]}, "shape (1,)", "a scalar"),
        ({"fraction": {"Conv": 0.5}}, "'Conv' matches no leaf", "conv/kernel, "),
        ({"fraction": 0.5, "target_sparsity": 0.5}, "0.5 with target_sparsity=0.5", "one of the"),
        ({"target_sparsity": 2, "fraction": None}, "2", SHARE),
        ({"criterion": "magnitde"}, "'magnitde'", "magnitude (did you mean 'magnitude'?)"),
        ({"criterion": 3}, "3", "magnitude"),
        ({"criterion": lambda params: 1}, "scores of another structure", "that of params"),
        ({"scope": "globl"}, "'globl'", "erdos_renyi, "),
        ({"min_kept": 1.5}, "1.5", AT_LEAST + "0"),
    ],
    prune_and_report: [
        ({"params": {}}, "{}", TREE),
        ({"masks": OTHER}, f"{ANOTHER}params, without dense/bias", SAME),
        ({"fraction": -0.1}, "-0.1", SHARE),
        ({"target_sparsity": [0.1], "fraction": None}, "shape (1,)", "a scalar"),
        ({"criterion": None}, "None", "magnitude"),
        ({"scope": None}, "None", "erdos_renyi, "),
        ({"min_kept": "1"}, "'1'", AT_LEAST + "0"),
    ],
    prune_channels: [
        ({"params": "dense"}, "'dense'", TREE),
        ({"masks": OTHER}, f"{ANOTHER}params, without dense/bias", SAME),
        ({"fraction": float("nan")}, "nan", SHARE),
        ({"target_sparsity": -1, "fraction": None}, "-1", SHARE),
        ({"criterion": "l1"}, "'l1'", "magnitude"),
        ({"scope": "erk"}, "'erk'", "global, layerwise"),
        ({"min_kept": -1}, "-1", AT_LEAST + "0"),
        ({"output_axis": "last"}, "'last'", "an integer"),
        ({"output_axis": 1.0}, "1.0", "an integer"),
        ({"output_axis": 4}, "4", "an axis of conv/kernel, (2, 2, 4, 1)"),
    ],
    prune_n_m: [
        ({"params": None}, "None", TREE),
        ({"masks": NUMBERS}, "conv/kernel is float32 (2, 2, 4, 1)", "bool"),
        ({"n": 0}, "0", AT_LEAST + "1"),
        ({"n": 4}, "4", "less than m = 4"),
        ({"m": "4"}, "'4'", AT_LEAST + "2"),
        ({"m": 3}, "3, but conv/kernel has 4 inputs", "a divisor"),
        ({"criterion": "magnitde"}, "'magnitde'", "magnitude"),
        ({"input_axis": True}, "True", "an integer"),
    ],
    masked: [
        ({"optimizer": 3}, "3", "an optax transformation"),
        ({"optimizer": optax.sgd}, "<function sgd", "an optax transformation"),
    ],
    layer_order: [
        ({"function": None}, "None", "a function of params"),
        ({"params": {}}, "{}", TREE),
    ],
    criteria.magnitude: [({"params": None}, "None", TREE)],
    criteria.movement: [
        ({"params": {}}, "{}", TREE),
        ({"reference": None}, f"{ANOTHER}params", SAME),
        ({"reference": jax.tree.map(jnp.sum, PARAMS)}, "conv/kernel has the shape ()", "(2, 2"),
    ],
    criteria.magnitude_movement: [
        ({"params": 3}, "3", TREE),
        ({"reference": OTHER}, f"{ANOTHER}params", SAME),
    ],
    criteria.saliency: [
        ({"params": "w"}, "'w'", TREE),
        ({"gradients": 3}, f"{ANOTHER}params", SAME),
    ],
    criteria.random: [
        ({"params": []}, "[]", TREE),
        ({"key": None}, "None", "one PRNG key"),
        ({"key": 0}, "0", "one PRNG key"),
        ({"key": jax.random.split(jax.random.key(0))}, "Array((2,)", "one PRNG key"),
    ],
    criteria.lookahead: [
        ({"params": None}, "None", TREE),
        ({"chains": 3}, "3", "sequences of paths"),
        ({"chains": ["dense/kernel"]}, "'dense/kernel'", "sequences of paths"),
        ({"chains": [["dense/kernl"]]}, "'dense/kernl'", "conv/kernel, "),
        ({"axes": 3}, "3", "(-2, -1) or (1, 0)"),
    ],
}
