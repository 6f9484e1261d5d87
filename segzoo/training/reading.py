"""Recipes read: TOML files, shipped recipes, ``key=value`` words and Python's keyword values.

Later ones win: the recipe that a file names as its ``base``, the file, the words, the values. Every
error names the key, and the file and line where there is one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError
from segzoo.training.checks import check_recipe
from segzoo.training.draft import Draft
from segzoo.training.recipe_files import (
    RecipeText,
    Setting,
    find_recipe,
    settings_of,
    settings_of_values,
    settings_of_words,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from segzoo.training.recipe import Recipe

__all__ = ["make_recipe", "read_recipe"]


def read_recipe(
    source: str | os.PathLike[str] | None = None, settings: Sequence[str] = (), **values: Any
) -> Recipe:
    """Read a recipe.

    Args:
        source: a file that ends in ``.toml``, a folder that a training left, or the name of a recipe of
            `segzoo list recipes`; ``None`` starts from the defaults of `Recipe`.
        settings: words such as ``lr=1e-3``, ``model.width=16`` or ``augment.flip=false``; a value is JSON
            or TOML where it can be read so, else a word.
        **values: as `make_recipe` takes them; they win over the words.

    Raises:
        UnknownNameError: there is no such file, recipe, model, loss or metric.
        OptionError: a key is unknown, a value has the wrong type or is out of range, or two values exclude
            each other; the text names key, file and line, and the nearest valid key.
        FailureError: the file cannot be read.

    Example:
        >>> read_recipe("milesial-carvana", ["lr=1e-4"], data="photos").learning_rate
        0.0001
    """
    draft = Draft()
    names = [] if source is None else _add_files(draft, find_recipe(source), ())
    # Together, as a name that is given as a value must not make forget the options that are given as words.
    draft.add([*settings_of_words(settings), *settings_of_values(values)])
    _name_folder(draft, names)
    recipe = draft.recipe()
    check_recipe(recipe, draft.placed)
    return recipe


def make_recipe(values: Mapping[str, Any], base: Recipe | None = None) -> Recipe:
    """Return the recipe of Python's keyword values: fields of `Recipe`, and the aliases of the words.

    Args:
        values: such as ``data="photos", lr=1e-3, crop=128, model_options={"width": 16}``.
        base: what they change; the defaults where ``None``.

    Raises:
        OptionError: a key is unknown, a value has the wrong type or is out of range, or two exclude each
            other.
    """
    draft = Draft(base)
    draft.add(settings_of_values(values))
    if base is None:
        _name_folder(draft, [])
    recipe = draft.recipe()
    check_recipe(recipe, draft.placed)
    return recipe


def _add_files(draft: Draft, recipe: RecipeText, above: tuple[str, ...]) -> list[str]:
    """Add a recipe to the draft, after the one that it starts from; return their names, its own first."""
    if recipe.key in above:
        circle = " -> ".join((*above[above.index(recipe.key) :], recipe.key))
        raise OptionError(f"recipes start from one another in a circle: {circle}; take one base out")
    settings = settings_of(recipe)
    names: list[str] = []
    base = next((setting for setting in settings if setting.path == ("base",)), None)
    if base is not None:
        names = _add_files(draft, _base(base, recipe), (*above, recipe.key))
    draft.add(settings, whole=base is None)
    return [recipe.name, *names]


def _base(setting: Setting, recipe: RecipeText) -> RecipeText:
    if not isinstance(setting.value, str) or not setting.value:
        raise OptionError(f'{setting.where}: base must be a recipe\'s name or file, such as base = "default"')
    try:
        return find_recipe(setting.value, recipe.folder if setting.value.endswith(".toml") else None)
    except OptionError as error:
        raise type(error)(f"{setting.where}: base: {error}") from error


def _name_folder(draft: Draft, names: Sequence[str]) -> None:
    """Give the output a folder after the recipe or the model, where nobody said one."""
    if ("out",) in draft.origins:
        return
    name = Path(names[0]).stem if names and Path(names[0]).stem != "recipe" else draft.values["model"]
    draft.values["out"] = "runs/" + re.sub(r"[/:\0]", "-", name)
