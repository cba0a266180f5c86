"""The API pages leave no public name out."""

import doctest
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import silo_jax
from silo_jax import criteria, plans, pruning, schedules, shapes

PAGES = Path(__file__).parents[1] / "docs/api"


def documented_names():
    pages = "\n".join(path.read_text() for path in PAGES.glob("*.rst"))
    return set(re.findall(r"^\.\. (?:auto)?\w+:: (silo_jax\.\S+)$", pages, re.MULTILINE))


def public_names(module):
    """As a user would write them: ``silo_jax.prune``, although it is also in ``pruning``."""
    names = getattr(
        module, "__all__", [n for n, v in vars(module).items() if is_defined_in(module, v)]
    )
    path = re.sub(r"silo_jax\.(schedules|pruning)\.", "silo_jax.", module.__name__)
    return {
        f"silo_jax.{name}" if name in silo_jax.__all__ else f"{path}.{name}"
        for name in names
        if not name.startswith("_")
    }


def is_defined_in(module, value):
    return getattr(value, "__module__", None) == module.__name__ and not isinstance(
        value, ModuleType
    )


def public_functions():
    modules = [silo_jax, schedules, shapes, plans, pruning, criteria]
    return {
        name: inspect.unwrap(value)
        for module in modules
        for name in sorted(public_names(module))
        if inspect.isfunction(value := getattr(module, name.rpartition(".")[2]))
    }


@pytest.mark.parametrize("function", public_functions().values(), ids=lambda f: f.__name__)
def test_every_public_function_is_explained_with_an_example_that_runs(function):
    sections = re.findall(r"^ *(Args|Returns|Example):$", inspect.getdoc(function), re.MULTILINE)
    wanted = ["Args"] * bool(inspect.signature(function).parameters) + ["Returns", "Example"]
    assert [section for section in sections if section in wanted] == wanted
    assert doctest.DocTestFinder().find(function)[0].examples


@pytest.mark.parametrize(
    "module", [silo_jax, schedules, shapes, plans, pruning, criteria], ids=lambda m: m.__name__
)
def test_every_public_name_is_on_a_page(module):
    names = public_names(module)
    assert names
    assert names - documented_names() == set()
