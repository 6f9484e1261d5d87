"""``[RECIPE] [KEY=VALUE]...`` of commands that look at data: words of ``segzoo train`` that are about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.interfaces import Dataset
    from segzoo.training.recipe.schema import Recipe

#: Tables and keys that say how data is read.
_ABOUT_DATA = ("data", "split", "bands", "intensity", "model.in_channels")


def data_recipe(
    data: str, root: str | None, words: Sequence[str], *, also: Sequence[str] = ()
) -> tuple[Recipe, str]:
    """Return the recipe that the words of a command stand for, and the name or file that it starts from.

    A recipe may say anything; single words must be about data, as any other one would change nothing.

    Args:
        data: what is looked at.
        root: where it lies, if that was said.
        words: ``KEY=VALUE``, and at most one recipe.
        also: other tables that the command takes words of.

    Raises:
        OptionError: a word is not about data, or is unknown.
        UnknownNameError: there is no such recipe.
    """
    from segzoo.training.recipe.files import settings_of_words
    from segzoo.training.recipe.keys import canonical
    from segzoo.training.recipe.reading import read_recipe

    named = [word for word in words if "=" not in word]
    settings = [word for word in words if "=" in word]
    if len(named) > 1:
        raise OptionError(f"{named[0]} and {named[1]} are both taken for recipes: name one")
    for setting, word in zip(settings_of_words(settings), settings, strict=True):
        path = canonical(setting.path)
        if path in (("data",), ("data", "name"), ("root",)):
            raise OptionError(f"{word!r}: {data!r} is looked at already, and --root says where it lies")
        if path[0] not in (*_ABOUT_DATA, *also) and ".".join(path) not in _ABOUT_DATA:
            takes = ", ".join(f"{table}.*" for table in ("data", "split", *also))
            raise OptionError(f"{word!r} is not about the data: this command takes {takes}")
    base = named[0] if named else ""
    place: dict[str, Any] = {} if root is None else {"root": root}
    return read_recipe(base or None, settings, data=data, **place), base


def divided_parts(recipe: Recipe) -> Mapping[str, Dataset]:
    """Return what trains and what validates, where a recipe divides the data; else nothing."""
    if not recipe.split:
        return {}
    from segzoo.training.data.checked import recipe_parts

    return recipe_parts(recipe)
