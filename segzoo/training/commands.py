"""A recipe as the command that follows it: what differs from the defaults, word by word."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from segzoo.printing import as_json
from segzoo.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Parts whose options are fields of their own: of ``model_options`` the word is ``model.width=16``.
_OPTIONS = "_options"

#: Where the data lies and where weights go is the business of who runs the command.
_PLACES = ("data", "root", "out")

#: Words that JSON or TOML takes for something else.
_TAKEN = ("true", "false", "null", "nan", "inf", "NaN", "Infinity")


def train_command(recipe: Recipe, *, root: str = "", out: str = "", folds: bool = False) -> list[str]:
    """Return the words of ``segzoo train`` that train by a recipe.

    Args:
        recipe: to follow.
        root: where a registered data set lies; left to ``$SEGZOO_DATA`` where empty.
        out: the folder for the weights; the program's own choice where empty.
        folds: whether all folds are trained.
    """
    if folds:  # each of them in turn
        options, split = (
            {key: value for key, value in table.items() if key != "fold"}
            for table in (recipe.data_options, recipe.split)
        )
        recipe = replace(recipe, data_options=options, split=split)
    words = ["segzoo", "train", "--data", recipe.data]
    words += ["--root", root] if root else []
    words += ["--out", out] if out else []
    words += ["--folds"] if folds else []
    return [*words, *settings(recipe)]


def evaluate_command(
    recipe: Recipe, model: str, part: str, metrics: Sequence[str], *, root: str = ""
) -> list[str]:
    """Return the words of ``segzoo evaluate`` that score a folder on a part of a recipe's data."""
    words = ["segzoo", "evaluate", model, "--data", recipe.data, "--split", part]
    words += ["--root", root] if root else []
    for name, value in recipe.data_options.items():
        if name not in ("cache", "scale"):
            words += ["--data-option", f"{name}={_word(value)}"]
    return [*words, *(word for metric in metrics for word in ("--metric", metric))]


def settings(recipe: Recipe) -> list[str]:
    """Return ``key=value`` for every value that is not the default."""
    words: list[str] = []
    default = Recipe(data=recipe.data)
    for item in fields(Recipe):
        value, usual = getattr(recipe, item.name), getattr(default, item.name)
        if item.name in _PLACES or (_plain(value) == _plain(usual) and _order(value) == _order(usual)):
            continue
        part = item.name.removesuffix(_OPTIONS)
        if isinstance(value, str):  # a key whose values are words takes a word as it stands
            words.append(f"{item.name}={value}")
        elif isinstance(value, Mapping) and value and not usual:
            words += [f"{part}.{name}={_word(one)}" for name, one in value.items()]
        else:
            words.append(f"{item.name}={_word(value)}")
    return words


def shell(words: Sequence[str]) -> str:
    """Return a command for a shell, a setting in quotes where it needs them."""
    return " ".join(map(shlex.quote, words))


def _word(value: Any) -> str:
    bare = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w-]*", value) and value not in _TAKEN
    return str(value) if bare else as_json(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _order(value: Any) -> list[str]:
    return list(value) if isinstance(value, Mapping) else []
