"""Recipes written: the TOML text that `read_recipe` reads to an equal recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError
from segzoo.printing import printable
from segzoo.training.keys import GROUPS, PARTS, PLAIN
from segzoo.training.recipe_files import NULL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segzoo.training.recipe import Recipe

# Keys that are written into the table of a part, as people look for them there.
_INSIDE = {"root": ("data", "root"), "learning_rate": ("optimizer", "lr")}


def to_toml(recipe: Recipe) -> str:
    """Return a recipe as TOML, every key with its value, so that later defaults change nothing.

    Values that are ``None`` are written as ``"null"``, as TOML has no word for it.

    Raises:
        OptionError: an option holds what a file cannot, such as a function.

    Example:
        >>> Path("recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    """
    parts = {part: _part(recipe, part) for part in PARTS}
    lines = [f"{part} = {_value(part, table['name'])}" for part, table in parts.items() if len(table) == 1]
    lines += [f"{key} = {_value(key, getattr(recipe, key))}" for key in PLAIN if key not in _INSIDE]
    if not recipe.augment:
        lines.append("augment = {}")
    tables = {part: table for part, table in parts.items() if len(table) > 1}
    tables |= {group: getattr(recipe, group) for group in GROUPS if getattr(recipe, group)}
    tables |= {f"augment.{_key(step)}": options for step, options in recipe.augment.items()}
    return "\n".join([*lines, *(line for name, table in tables.items() for line in _table(name, table)), ""])


def _part(recipe: Recipe, part: str) -> dict[str, Any]:
    """Return the table of a part: its name first, then its options."""
    moved = {inner: getattr(recipe, key) for key, (owner, inner) in _INSIDE.items() if owner == part}
    known = {inner: value for inner, value in moved.items() if value is not None}
    return {"name": getattr(recipe, part), **known, **getattr(recipe, f"{part}_options")}


def _table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    for key, value in table.items():
        yield f"{_key(key)} = {_value(f'{name}.{key}', value)}"


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
            raise OptionError(
                f"{key} is the word {NULL!r}, which stands for no value in a recipe: say another"
            )
        return _text(key, value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(key, one) for one in value)}]"
    if isinstance(value, Mapping):
        inner = (f"{_key(name)} = {_value(f'{key}.{name}', one)}" for name, one in value.items())
        return f"{{{', '.join(inner)}}}"
    raise OptionError(
        f"{key} is of type {type(value).__name__}, which no file holds: "
        "give a number, a word, true or false, or a list or table of them"
    )


def _text(key: str, text: str) -> str:
    # JSON's escapes are TOML's, which also wants one for the character that deletes.
    quoted = json.dumps(text, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise OptionError(
            f"{key} is {printable(text)!r}, a name that is not UTF-8, which no recipe can hold: rename the "
            "file or folder"
        ) from error
    return "".join(one if printable(one) == one else f"\\U{ord(one):08x}" for one in quoted)
