"""The keys of a recipe: types, defaults, choices and meanings, from the code that reads recipes."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from reference.docstrings import first_line, markdown, meanings, table
from segzoo.training.optim.optimizers import optimizer_defaults
from segzoo.training.optim.schedules import schedule_defaults
from segzoo.training.parts import factories
from segzoo.training.recipe.keys import ALIASES, GROUPS, PARTS, shown
from segzoo.training.recipe.schema import AUGMENT, Recipe

_KINDS = {bool: "true or false", int: "whole number", float: "number", str: "word"}
_NONE = "\N{EN DASH}"


def keys() -> str:
    """Return the table of every key."""
    said, rows = meanings(Recipe), []
    types = get_type_hints(Recipe)
    for item in fields(Recipe):
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        cell = "required" if default is MISSING else f"`{_toml(default)}`"
        if item.name == "augment":
            cell = ", ".join(f"`{step}`" for step in AUGMENT)
        if default is None or default == {}:
            cell = _NONE
        rows.append(
            (f"`{item.name}`", _kind(types[item.name]), cell, _written(item.name), _cell(said[item.name]))
        )
    return table(("key", "type", "default", "in a file", "meaning"), rows)


def steps() -> str:
    """Return a section for each augmentation step."""
    return "\n".join(
        f"### {name}\n\n{_cell(first_line(step))}\n\n{_options(name, step)}"
        for name, step in factories("augmentations").items()
    )


def options(part: str) -> str:
    """Return the options of each optimizer or schedule with their defaults."""
    defaults = {"optimizer": optimizer_defaults, "schedule": schedule_defaults}[part]
    tables = {name: defaults(name) for name in factories(f"{part}s")}
    names = dict.fromkeys(option for one in tables.values() for option in one)
    rows = [
        (f"`{part}.{name}`", *(f"`{_toml(one[name])}`" if name in one else _NONE for one in tables.values()))
        for name in names
    ]
    return table(("option", *tables), rows)


def aliases() -> str:
    """Return the table of aliases."""
    return table(("alias", "key"), [(f"`{alias}`", f"`{key}`") for alias, key in ALIASES.items()])


def _options(name: str, step: Any) -> str:
    said, types = meanings(step), get_type_hints(step)
    rows = [
        (
            f"`augment.{name}.{item.name.rstrip('_')}`",
            _kind(types[item.name]),
            f"`{_toml(item.default)}`",
            _cell(said[item.name]),
        )
        for item in fields(step)
    ]
    return table(("key", "type", "default", "meaning"), rows)


def _cell(text: str) -> str:
    return markdown(
        re.sub(r"`(segzoo\.[\w.]+)`", r"{py:obj}`\1`", text.replace("``", "\0")).replace("\0", "`")
    )


def _toml(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return shown(value)


def _kind(hint: Any) -> str:
    """Return the kind of a value in plain words."""
    choices = [one for one in get_args(hint) if one is not type(None)]
    if get_origin(hint) is Literal:
        return ", ".join(f"`{choice}`" for choice in choices)
    if get_origin(hint) is tuple:
        kinds = get_args(choices[0]) or choices[:1]
        return f"list of {' or '.join(f'{_KINDS[kind]}s' for kind in kinds)}"
    if hint in _KINDS:
        return _KINDS[hint]
    return _kind(choices[0]) if choices and None.__class__ in get_args(hint) else "table"


def _written(name: str) -> str:
    """Return where a recipe file has a key."""
    part = name.removesuffix("_options")
    if name in PARTS:
        return f"`[{name}] name`"
    if part in PARTS:
        return f"`[{part}]`, the rest"
    if name in GROUPS:
        return f"`[{name}]`"
    return "`[augment.STEP]`" if name == "augment" else f"`{name}`"
