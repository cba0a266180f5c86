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
from tests.bad_pruning import ANOTHER, MASKS, NUMBERS, OTHER, PARAMS, RESHAPED

SOUND = bad_pruning.SOUND | bad_schedules.SOUND
WRONG = bad_pruning.WRONG | bad_schedules.WRONG
CASES = [(function, *case) for function, cases in WRONG.items() for case in cases]


def public_functions() -> set[Callable]:
    """Those of silo_jax but `load` (`test_load.py`), and those that its public modules define."""
    found = {value for name, value in vars(silo_jax).items() if name in silo_jax.__all__}
    for module in (criteria, plans, shapes):
        own = [value for name, value in vars(module).items() if not name.startswith("_")]
        found |= {f for f in own if inspect.isfunction(f) and f.__module__ == module.__name__}
    return {value for value in found if inspect.isfunction(value)} - {silo_jax.load}


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


MOMENTUM = optax.sgd(0.1, momentum=0.9)
STACKED = jax.tree.map(lambda leaf: jnp.ones((5, *leaf.shape)), PARAMS)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("changes", "fault", "allowed"),
    [
        ({"masks": RESHAPED}, "masks: dense/kernel is bool (2, 4)", "bool (4, 2)"),
        ({"masks": RESHAPED, "params": None}, "masks: dense/kernel is bool (2, 4)", "bool (4, 2)"),
        ({"masks": NUMBERS}, "masks: conv/kernel is float32 (2, 2, 4, 1)", "bool (2, 2, 4, 1)"),
        ({"masks": OTHER}, f"masks: {ANOTHER}params, without dense/bias", "the same tree"),
        ({"updates": OTHER}, f"masks: {ANOTHER}updates, with dense/bias", "the same tree"),
        ({"params": STACKED}, "masks: conv/kernel is bool (2, 2, 4, 1)", "bool (5, 2, 2, 4, 1)"),
        ({"updates": STACKED}, "masks: conv/kernel is bool (2, 2, 4, 1)", "bool (5, 2, 2, 4, 1)"),
        ({"state": MOMENTUM.init(OTHER)}, "state: not of these weights", "that of init(params)"),
        ({"state": MOMENTUM.init(STACKED["conv"]["kernel"])}, "state: not of these weights", ""),
    ],
)
def test_a_step_under_masks_that_do_not_fit_is_refused_by_layer(compiled, changes, fault, allowed):
    optimizer = masked(MOMENTUM)
    update = jax.jit(optimizer.update) if compiled else optimizer.update
    sound = {"updates": PARAMS, "state": optimizer.init(PARAMS), "params": PARAMS, "masks": MASKS}
    update(**sound)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (jit adds a note, which match reads)
        update(**sound | changes)
    assert str(caught.value).startswith(f"{fault}; allowed: {allowed}")
    assert "\n" not in str(caught.value)


def test_the_check_of_masks_leaves_nothing_in_the_program():
    checked = jax.make_jaxpr(apply_masks)(PARAMS, MASKS)
    where = jax.make_jaxpr(lambda tree, masks: jax.tree.map(apply_mask, tree, masks))(PARAMS, MASKS)
    assert str(checked) == str(where)
