"""The contract of recipes: the file ships, reads, and names what exists."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.errors import PluginError
from segzoo.plugins import resolve
from segzoo.specs import RecipeSpec
from segzoo.testing.promises import keep, promise
from segzoo.training.recipe.files import shipped_text
from segzoo.training.recipe.reading import read_recipe

if TYPE_CHECKING:
    from segzoo.testing.promises import Promises


def check_recipe(recipe: str | RecipeSpec) -> None:
    """Check a recipe that ships with a plug-in.

    It says what it is; its file is in the package, and is TOML whose keys, values and names are good; the
    data set that the spec names is the one that the file names; and its planner, where it has one, is there
    and takes what it is called with.

    Args:
        recipe: its name, or its spec if no plug-in registers it yet.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    spec = recipe if isinstance(recipe, RecipeSpec) else zoo.registry("recipes").get(recipe)
    keep(f"recipe {spec.name!r}", recipe_promises(spec))


def recipe_promises(spec: RecipeSpec) -> Promises:
    """Return the checks of a recipe by what it promises."""
    what = f"recipe {spec.name!r}"
    return {
        "described": lambda: promise(
            bool(spec.summary), f"{what}: its spec lacks summary; say in a line what it trains"
        ),
        "file": lambda: _check_file(spec, what),
        "data": lambda: _check_data(spec, what),
        "planner": lambda: _check_planner(spec, what),
    }


def _check_file(spec: RecipeSpec, what: str) -> None:
    text = shipped_text(spec)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{spec.name}.toml")
        file.write_text(text, encoding="utf-8")
        # One that is for any data names none, and needs one to be complete.
        read = read_recipe(file, [] if spec.data else ["data=folder", "root=."])
    promise(
        not spec.data or read.data == spec.data,
        f"{what}: its spec says that it is for {spec.data!r}, its file trains on {read.data!r}",
    )


def _check_planner(spec: RecipeSpec, what: str) -> None:
    if not spec.planner:
        return
    try:
        inspect.signature(resolve(spec.planner)).bind(None, (), minutes=None, on_message=print)
    except TypeError as error:
        told = f"{what}: its planner {spec.planner} cannot be called as segzoo.interfaces.Planner says"
        raise PluginError(f"{told}: {error}") from error


def _check_data(spec: RecipeSpec, what: str) -> None:
    promise(
        not spec.data or spec.data in zoo.registry("datasets"),
        f"{what}: no plug-in that is loaded has its data set {spec.data!r}",
    )
