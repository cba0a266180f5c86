"""Wrong arguments to the library: one line with the argument, the value and what is allowed."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
import pytest

import silo_jax
from silo_jax import apply_masks, criteria, masked, plans, shapes
from silo_jax.pruning.masks import apply_mask
from tests import bad_pruning, bad_schedules
from tests.bad_pruning import MASKS, PARAMS

SOUND = bad_pruning.SOUND | bad_schedules.SOUND
WRONG = bad_pruning.WRONG | bad_schedules.WRONG
CASES = [(function, *case) for function, cases in WRONG.items() for case in cases]


def public_functions() -> set[Callable]:
    """Those of silo_jax, and those that its public modules define."""
    found = {value for name, value in vars(silo_jax).items() if name in silo_jax.__all__}
    for module in (criteria, plans, shapes):
        own = [value for name, value in vars(module).items() if not name.startswith("_")]
        found |= {f for f in own if inspect.isfunction(f) and f.__module__ == module.__name__}
    return {value for value in found if inspect.isfunction(value)}


def test_every_argument_of_every_public_function_is_given_a_wrong_value():
    assert public_functions() == set(SOUND)
    for function in SOUND:
        changed = {name for changes, *_ in WRONG.get(function, ()) for name in changes}
        assert changed == set(inspect.signature(function).parameters), function.__name__


@pytest.mark.parametrize("function", SOUND, ids=lambda function: function.__name__)
def test_the_sound_arguments_are_accepted(function):
    function(**SOUND[function])


@pytest.mark.parametrize(
    ("function", "changes", "shown", "allowed"), CASES, ids=[case[0].__name__ for case in CASES]
)
def test_one_line_names_the_argument_the_value_and_what_is_allowed(
    function, changes, shown, allowed
):
    with pytest.raises(ValueError, match=r"^[^\n]+\Z") as caught:
        function(**SOUND[function] | changes)
    fault, _, said = str(caught.value).partition("; allowed: ")
    assert fault.startswith(f"{next(iter(changes))}: {shown}"), caught.value
    assert allowed in said, caught.value


RESHAPED = bad_pruning.RESHAPED
STACKED = jax.tree.map(lambda leaf: jnp.ones((5, *leaf.shape)), PARAMS)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("changes", "field", "shown", "allowed"),
    [
        ({"masks": RESHAPED}, "masks", "dense/kernel is bool (2, 4)", "bool (4, 2)"),
        ({"masks": bad_pruning.NUMBERS}, "masks", "conv/kernel is float32", "bool"),
        (
            {"masks": bad_pruning.OTHER},
            "masks",
            "a structure other than that of params, without",
            "",
        ),
        (
            {"masks": RESHAPED, "params": None},
            "masks",
            "dense/kernel is bool (2, 4)",
            "bool (4, 2)",
        ),
        (
            {"updates": bad_pruning.OTHER},
            "masks",
            "a structure other than that of updates, with",
            "",
        ),
        ({"params": STACKED}, "masks", "conv/kernel is bool (2, 2, 4, 1)", "bool (5, 2, 2, 4, 1)"),
        ({"updates": STACKED}, "masks", "conv/kernel is bool (2, 2, 4, 1)", "bool (5, 2, 2, 4, 1)"),
        ({"state": optax.sgd(0.1, 0.9).init(PARAMS["dense"])}, "state", "not of these", "init("),
        (
            {"state": optax.sgd(0.1, 0.9).init(jnp.ones(3))},
            "state",
            "not of these weights",
            "that of init(params)",
        ),
    ],
)
def test_a_step_under_masks_that_do_not_fit_is_refused_by_layer(
    compiled, changes, field, shown, allowed
):
    optimizer = masked(optax.sgd(0.1, momentum=0.9))
    update = jax.jit(optimizer.update) if compiled else optimizer.update
    sound = {"updates": PARAMS, "state": optimizer.init(PARAMS), "params": PARAMS, "masks": MASKS}
    update(**sound)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (jit adds a note, which match reads)
        update(**sound | changes)
    fault, _, said = str(caught.value).partition("; allowed: ")
    assert fault.startswith(f"{field}: {shown}"), caught.value
    assert allowed in said, caught.value
    assert "\n" not in said


def test_the_check_of_masks_leaves_nothing_in_the_program():
    checked = jax.make_jaxpr(apply_masks)(PARAMS, MASKS)
    where = jax.make_jaxpr(lambda tree, masks: jax.tree.map(apply_mask, tree, masks))(PARAMS, MASKS)
    assert str(checked) == str(where)
