"""Writes recipes: the TOML text from which `read_recipe` reads an equal recipe."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError
from segzoo.options import as_word
from segzoo.printing import command_line, plain_path, printable
from segzoo.training.recipe.files import NULL
from segzoo.training.recipe.keys import COMMENTS, GROUPS, PARTS, PLAIN, canonical, dotted
from segzoo.training.recipe.schema import Recipe

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence


# Keys that are written into a part's table, because people look for them there.
_INSIDE = {
    "root": ("data", "root"),
    "bands": ("data", "bands"),
    "intensity": ("data", "intensity"),
    "learning_rate": ("optimizer", "lr"),
}

#: Characters in a line of a comment.
_WIDTH = 100


def to_toml(recipe: Recipe) -> str:
    """Return a recipe as TOML, every key with its value, so that a later change of defaults has no effect.

    Values that are ``None`` are written as ``"null"``, because TOML has no word for it. A key's comment
    stands above the key.

    Raises:
        OptionError: an option holds a value that a file cannot hold, such as a function.

    Example:
        >>> Path("recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    """
    parts = {part: _part(recipe, part) for part in PARTS}
    plain = {part: table["name"] for part, table in parts.items() if len(table) == 1}
    plain |= {key: getattr(recipe, key) for key in PLAIN if key not in _INSIDE}
    said = recipe.comments
    lines = [line for key, value in plain.items() for line in _pair(key, _value(key, value), said.get(key))]
    if not recipe.augment:
        lines += _pair("augment", "{}", said.get("augment"))
    tables = {part: table for part, table in parts.items() if len(table) > 1}
    tables |= {group: getattr(recipe, group) for group in GROUPS if getattr(recipe, group)}
    tables |= {f"augment.{_key(step)}": options for step, options in recipe.augment.items()}
    more = (line for name, table in tables.items() for line in _table(name, table, said))
    return "\n".join([*lines, *more, ""])


def _part(recipe: Recipe, part: str) -> dict[str, Any]:
    """Return the table of a part: its name first, then its options."""
    moved = {inner: getattr(recipe, key) for key, (owner, inner) in _INSIDE.items() if owner == part}
    known = {inner: value for inner, value in moved.items() if value not in (None, "", ())}
    return {"name": getattr(recipe, part), **known, **getattr(recipe, f"{part}_options")}


def _table(name: str, table: Mapping[str, Any], said: Mapping[str, str]) -> Iterator[str]:
    yield ""
    if not table:  # a step without options has a comment itself
        yield from _comment(said.get(name))
    yield f"[{name}]"
    for key, value in table.items():
        path = f"{name}.{key}"
        comment = said.get(dotted(canonical(tuple(path.split(".")))))
        yield from _pair(_key(key), _value(path, value), comment)


def _pair(key: str, value: str, comment: str | None) -> Iterator[str]:
    yield from _comment(comment)
    yield f"{key} = {value}"


def _comment(comment: str | None) -> Iterator[str]:
    """Yield the lines of a comment, from which reading gives the same text."""
    text = printable(comment or "")
    for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text("a key", key)


def _value(key: str, value: Any) -> str:
    if value is None:
        return f'"{NULL}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str):
        if value == NULL:
            raise OptionError(f"{key} is the word {NULL!r}, which means no value in a recipe: use another")
        return _text(key, value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(key, one) for one in value)}]"
    if isinstance(value, Mapping):
        inner = (f"{_key(name)} = {_value(f'{key}.{name}', one)}" for name, one in value.items())
        return f"{{{', '.join(inner)}}}"
    raise OptionError(
        f"{key} is of type {type(value).__name__}, which a recipe file cannot hold: "
        "give a number, a word, true or false, or a list or table of them"
    )


def _text(key: str, text: str) -> str:
    # TOML has JSON's escapes, and one more for the delete character.
    quoted = json.dumps(text, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise OptionError(
            f"{key} is {printable(text)!r}, a name that is not UTF-8, which a recipe cannot hold: rename the "
            "file or folder"
        ) from error
    return "".join(one if printable(one) == one else f"\\U{ord(one):08x}" for one in quoted)


# A recipe as the command that runs it: the values that differ from the defaults, as words.

#: Suffix of the fields that hold a part's options: ``model_options`` is written as ``model.width=16``.
_OPTIONS = "_options"

#: Locations, which depend on the user who runs the command.
_PLACES = ("data", "root", "out")


def train_command(recipe: Recipe, *, root: str = "", out: str = "", folds: bool = False) -> list[str]:
    """Return the words of the ``segzoo train`` command that trains by a recipe.

    Args:
        recipe: the recipe.
        root: location of a registered dataset; if empty, ``$SEGZOO_DATA`` is used.
        out: the output folder; if empty, the program chooses it.
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
    model: str,
    data: str,
    part: str,
    metrics: Sequence[str],
    *,
    options: Mapping[str, Any] | None = None,
    root: str = "",
) -> list[str]:
    """Return the words of the ``segzoo evaluate`` command that scores a model on a part of a dataset.

    Args:
        model: the model's folder.
        data: the dataset, as for ``--data``.
        part: part of the dataset, such as ``test``.
        metrics: metrics to compute.
        options: options of the dataset, as in a recipe.
        root: location of a registered dataset; if empty, ``$SEGZOO_DATA`` is used.
    """
    words = ["segzoo", "evaluate", plain_path(model), "--data", data, "--split", part]
    words += ["--root", root] if root else []
    for name, value in (options or {}).items():
        if name not in ("cache", "scale"):
            words += ["--data-option", f"{name}={as_word(value)}"]
    return [*words, *(word for metric in metrics for word in ("--metric", metric))]


def settings(recipe: Recipe) -> list[str]:
    """Return ``key=value`` for every value that is not the default."""
    words: list[str] = []
    default = Recipe(data=recipe.data)
    for item in fields(Recipe):
        value, usual = getattr(recipe, item.name), getattr(default, item.name)
        if item.name in (*_PLACES, COMMENTS) or (
            as_word(value) == as_word(usual) and _order(value) == _order(usual)
        ):
            continue
        part = item.name.removesuffix(_OPTIONS)
        if isinstance(value, str):  # a key whose values are words needs no quotes
            words.append(f"{item.name}={value}")
        elif isinstance(value, Mapping) and value and not usual:
            words += [f"{part}.{name}={as_word(one)}" for name, one in value.items()]
        else:
            words.append(f"{item.name}={as_word(value)}")
    return words


def resume_command(out: str | os.PathLike[str]) -> str:
    """Return the command that resumes the run in a folder."""
    return command_line("segzoo", "train", "--resume", Path(out))


def _order(value: Any) -> list[str]:
    return list(value) if isinstance(value, Mapping) else []
