"""``[RECIPE] [KEY=VALUE]...`` of commands that read data: the words of ``segzoo train`` that concern data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.interfaces import Dataset
    from segzoo.training.recipe.schema import Recipe

#: Gives a command ``--root``.
root_option = click.option(
    "--root", type=click.Path(), help="Folder of a named dataset [default: $SEGZOO_DATA/NAME]."
)

#: Tables and keys that define how data is read.
_ABOUT_DATA = ("data", "split", "bands", "intensity", "model.in_channels")


def data_recipe(
    data: str, root: str | None, words: Sequence[str], *, also: Sequence[str] = ()
) -> tuple[Recipe, str]:
    """Return the recipe that the words of a command describe, and the name or file of its base.

    A recipe may contain any setting, but single words must concern the data: others would have no effect.

    Args:
        data: name or path of the data.
        root: folder of a named dataset, if given.
        words: ``KEY=VALUE`` words, and at most one recipe.
        also: other tables that the command accepts.

    Raises:
        OptionError: a word does not concern the data, or is unknown.
        UnknownNameError: there is no such recipe.
    """
    from segzoo.training.recipe.files import settings_of_words
    from segzoo.training.recipe.keys import canonical
    from segzoo.training.recipe.reading import read_recipe

    named = [word for word in words if "=" not in word]
    settings = [word for word in words if "=" in word]
    if len(named) > 1:
        raise OptionError(f"{named[0]} and {named[1]} both look like recipes: give one")
    for setting, word in zip(settings_of_words(settings), settings, strict=True):
        path = canonical(setting.path)
        if path in (("data",), ("data", "name"), ("root",)):
            raise OptionError(f"{word!r}: the data is {data!r} already, and --root sets its folder")
        if path[0] not in (*_ABOUT_DATA, *also) and ".".join(path) not in _ABOUT_DATA:
            takes = ", ".join(f"{table}.*" for table in ("data", "split", *also))
            raise OptionError(f"{word!r} does not concern the data: this command accepts {takes}")
    base = named[0] if named else ""
    place: dict[str, Any] = {} if root is None else {"root": root}
    return read_recipe(base or None, settings, data=data, **place), base


def divided_parts(recipe: Recipe) -> Mapping[str, Dataset]:
    """Return the training and the validation part if the recipe splits the data, else nothing."""
    if not recipe.split:
        return {}
    from segzoo.training.data.checked import recipe_parts

    return recipe_parts(recipe)
