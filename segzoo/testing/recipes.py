"""The contract of recipes: the file ships, reads, and names what exists."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path

from segzoo import zoo
from segzoo.errors import PluginError
from segzoo.plugins import resolve
from segzoo.specs import RecipeSpec
from segzoo.testing.promises import Checked, described, promise
from segzoo.training.recipe.files import shipped_text
from segzoo.training.recipe.reading import read_recipe


def check_recipe(recipe: str | RecipeSpec) -> None:
    """Check a recipe that ships with a plug-in.

    It says what it is; its file is in the package, and is TOML whose keys, values and names are good; the
    dataset that the spec names is the one that the file names; and its planner, where it has one, is there
    and takes what it is called with.

    Args:
        recipe: its name, or its spec if no plug-in registers it yet.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(recipe, RecipeSpec)).keep()


class _Subject(Checked[RecipeSpec], of="recipe"):
    """A recipe under check."""

    def described(self) -> None:
        promise(bool(self.spec.summary), f"{self.what}: its spec lacks summary; say in a line what it trains")

    def file(self) -> None:
        text = shipped_text(self.spec)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{self.spec.name}.toml")
            file.write_text(text, encoding="utf-8")
            # One that is for any data names none, and needs one to be complete.
            read = read_recipe(file, [] if self.spec.data else ["data=folder", "root=."])
        promise(
            not self.spec.data or read.data == self.spec.data,
            f"{self.what}: its spec says that it is for {self.spec.data!r}, its file trains on {read.data!r}",
        )

    def data(self) -> None:
        promise(
            not self.spec.data or self.spec.data in zoo.registry("datasets"),
            f"{self.what}: no plug-in that is loaded has its dataset {self.spec.data!r}",
        )

    def planner(self) -> None:
        if not self.spec.planner:
            return
        try:
            inspect.signature(resolve(self.spec.planner)).bind(None, (), minutes=None, on_message=print)
        except TypeError as error:
            raise PluginError(
                f"{self.what}: its planner {self.spec.planner} cannot be called as "
                f"segzoo.interfaces.Planner says: {error}"
            ) from error
