"""A recipe in the making: settings are laid over one another, and each knows who said it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError
from segzoo.training.keys import (
    ABOUT,
    GROUPS,
    PARTS,
    PLAIN,
    TABLES,
    Path,
    canonical,
    check_numbers,
    plain_value,
    shown,
    typed,
    unknown,
)
from segzoo.training.recipe import Recipe
from segzoo.training.recipe_files import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Ways to divide images; who names one means no other.
_WAYS = {"share", "file", "folds", "train"}


class Draft:
    """Values of a recipe, to which settings are added.

    Args:
        base: what to start from; the recipe's own defaults where ``None``.
    """

    def __init__(self, base: Recipe | None = None) -> None:
        start = Recipe(data="") if base is None else base
        self.values: dict[str, Any] = {item.name: _open(getattr(start, item.name)) for item in fields(Recipe)}
        #: Who said the value of a key, in the words of `Setting.where`.
        self.origins: dict[Path, str] = {}

    def add(self, settings: Sequence[Setting], *, whole: bool = False) -> None:
        """Lay settings over what there is; naming another part forgets the options of the one before.

        Args:
            settings: in their order.
            whole: whether they are a recipe of their own: a table then leaves nothing of the defaults.

        Raises:
            OptionError: a key is unknown, or its value is of another type; the text says where.
        """
        for table in TABLES:
            mine = [one.path for one in settings if one.path[0] in (table, f"{table}_options")]
            # Another way to divide the data leaves nothing of the way before.
            other = table == "split" and {path[1] for path in mine if path[1:]} & _WAYS - {
                *self.values["split"]
            }
            if mine and (whole or other):
                self.values[_options(table)] = {}
        for setting in sorted(settings, key=lambda one: not _is_name(canonical(one.path))):
            try:
                self._set(canonical(setting.path), setting)
            except OptionError as error:
                raise OptionError(f"{setting.where}: {error}" if setting.where else str(error)) from error

    def recipe(self) -> Recipe:
        """Return the recipe.

        Raises:
            OptionError: a value is out of range, or there is no data; the text says where.
        """
        if not self.values["data"]:
            raise OptionError('say what to train on: data = "photos" in the recipe, or --data photos')
        try:
            return Recipe(**self.values)
        except OptionError as error:
            raise OptionError(self.placed(str(error))) from error

    def placed(self, told: str) -> str:
        """Return an error's text after the place where the first key that it names was set, if in a file."""
        first = told.partition(" ")[0]
        for key in (first.rstrip(":,;"), *re.findall(r"[a-z_]+(?:\.[a-z_]+)+", told)):
            where = self._where(tuple(key.partition("=")[0].split(".")))
            if where:
                return f"{where}: {told}"
        return told

    def _where(self, path: Path) -> str:
        """Return who set a key, or a key beneath it, or the table that it is in."""
        beneath = next((place for key, place in self.origins.items() if key[: len(path)] == path), "")
        if path in self.origins or not path or beneath:
            return self.origins.get(path, beneath)
        return self._where(path[:-1])

    def _set(self, path: Path, setting: Setting) -> None:
        key, value, first = ".".join(setting.path), setting.value, path[0]
        check_numbers(key, value)
        if first in PLAIN and len(path) == 1:
            as_text = setting.raw is not None and isinstance(getattr(Recipe, first, ""), str | None)
            self.values[first] = plain_value(first, setting.raw if as_text else value, written=key)
        elif first in PARTS:
            self._set_part(path, key, setting)
        elif first in GROUPS or first.removesuffix("_options") in PARTS:
            self._set_options(path, key, value)
        elif first == "augment":
            self._set_step(path, key, value)
        elif first not in ABOUT or not setting.where:
            raise OptionError(unknown(setting.path))
        self.origins[path] = self.origins[setting.path] = setting.where
        if _is_name(path):
            self.origins[path[:1]] = setting.where

    def _set_part(self, path: Path, key: str, setting: Setting) -> None:
        part, options, value = path[0], _options(path[0]), setting.value
        if not _is_name(path):
            _put(self.values[options], path[1:], value)
            return
        if isinstance(value, Mapping) and len(path) == 1:
            self.values[options] = {}
            for name, one in _mapping(key, value).items():
                self._set(canonical((part, name)), Setting((part, name), one, setting.where))
            return
        name = value if setting.raw is None or isinstance(value, str) else setting.raw
        name = typed(key, name, str, getattr(Recipe, part, "photos"))
        if name != self.values[part]:
            self.values[options] = {}
            if part == "data":
                self.values["root"] = None
        self.values[part] = name

    def _set_options(self, path: Path, key: str, value: Any) -> None:
        group, *rest = path
        if not rest:
            self.values[group] = dict(_mapping(key, value))
        elif value is None:
            self.values[group].pop(rest[0], None)
        else:
            _put(self.values[group], tuple(rest), value)

    def _set_step(self, path: Path, key: str, value: Any) -> None:
        steps = self.values["augment"]
        step, *option = path[1:] or ("",)
        if not step:
            steps.clear()
            for name, options in {} if value is False or value is None else _mapping(key, value).items():
                self._set_step((*path, name), f"{key}.{name}", options)
        elif option:
            _put(steps.setdefault(step, {}), tuple(option), value)
        elif value is False or value is None:
            steps.pop(step, None)
        else:
            steps[step] = {} if value is True else dict(_mapping(key, value))


def _open(value: Any) -> Any:
    """Return a copy whose mappings can be written to."""
    return {key: _open(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _is_name(path: Path) -> bool:
    return path[0] in PARTS and path[1:] in ((), ("name",))


def _options(table: str) -> str:
    """Return the field that holds a table's options."""
    return f"{table}_options" if table in PARTS else table


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise OptionError(f"{key} must be a table of options, such as {{size = 256}}, got {shown(value)}")
    if not all(isinstance(name, str) for name in value):
        raise OptionError(f"{key} must be a table whose keys are words, got {shown(value)}")
    return value


def _put(options: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        inner = options.get(name)
        options[name] = inner = dict(inner) if isinstance(inner, Mapping) else {}
        options = inner
    options[path[-1]] = value
