"""Recipes in TOML files: found by path or by name, and read to settings with their line numbers."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segzoo import json_text, zoo
from segzoo.errors import FailureError, OptionError, PluginError, UnknownNameError, no_address
from segzoo.files import regular
from segzoo.printing import command_line
from segzoo.training.recipe.keys import TABLES, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from segzoo.specs import RecipeSpec

#: Name of the recipe file in a run folder.
FILE = "recipe.toml"

#: Stands for ``None``, because TOML has no word for it.
NULL = "null"

_HEADER = re.compile(r"\s*\[{1,2}([^\[\]=]+)\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


class Setting(NamedTuple):
    """A value that was set in a file, on the command line or in Python.

    Attributes:
        path: path of the key, such as ``("optimizer", "momentum")``.
        value: the value that was read.
        where: the file and the line; empty for a value from the command line or from Python.
        raw: the text of the value, if it came as text.
        comment: the lines with ``#`` directly above it, as one text.
    """

    path: tuple[str, ...]
    value: Any
    where: str = ""
    raw: str | None = None
    comment: str = ""


@dataclass(frozen=True)
class RecipeText:
    """A recipe's text and its origin.

    Attributes:
        text: the TOML text.
        name: its name in error messages: the path, or the name of a shipped recipe.
        folder: where relative paths in it begin; ``None`` for a recipe that ships with a package.
        planner: the function that looks at the data and completes the recipe; empty if the text is complete.
    """

    text: str
    name: str
    folder: Path | None = None
    planner: str = ""

    @property
    def key(self) -> str:
        """A key that is the same for the same recipe, in whatever way its path is written."""
        return self.name if self.folder is None else str(Path(self.name).resolve())


def find_recipe(source: str | os.PathLike[str], folder: Path | None = None) -> RecipeText:
    """Return the text of a recipe.

    Args:
        source: a file that ends in ``.toml``, a run folder, or a registered recipe's name.
        folder: where a relative path begins; the current folder if ``None``.

    Raises:
        UnknownNameError: no such file exists, and no recipe has this name.
        FailureError: the file cannot be read.
    """
    path = Path(source) if folder is None else folder / source
    if (path / FILE).is_file():
        path /= FILE
    if path.suffix == ".toml" or path.is_file():
        return RecipeText(_read(path), str(path), path.parent)
    registry = zoo.registry("recipes")
    name = str(source)
    if name not in registry:
        if path.is_dir():
            raise OptionError(
                f"{path} is a folder without {FILE}: to train on the images in it, use "
                f"{command_line('--data', path)}"
            )
        raise UnknownNameError(registry.unknown(name, also=", and a file's name ends in .toml"))
    spec = registry.get(name)
    return RecipeText(shipped_text(spec), name, planner=spec.planner)


def shipped_text(spec: RecipeSpec) -> str:
    """Return the text of a recipe that ships inside a package.

    Raises:
        PluginError: the package does not contain it.
    """
    package, _, path = spec.file.partition(":")
    try:
        return files(package).joinpath(path).read_text(encoding="utf-8")
    except (OSError, ImportError) as error:
        raise PluginError(f"recipe {spec.name!r}: package {package!r} has no file {path!r}") from error


def _read(path: Path) -> str:
    try:
        return regular(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UnknownNameError(
            f"there is no recipe {path}; `segzoo list recipes` shows the names{no_address(path)}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or error
        raise FailureError(f"{path} cannot be read as text: {told}") from error


def settings_of(recipe: RecipeText) -> list[Setting]:
    """Return the settings in a file, in the file's order.

    Raises:
        OptionError: it is not valid TOML; the message names the line.
    """
    try:
        tables = tomllib.loads(recipe.text)
    except RecursionError as error:
        raise OptionError(f"{recipe.name}: its lists are nested too deeply") from error
    except ValueError as error:  # tomllib lets a plain ValueError through for a number of thousands of digits
        raise OptionError(_broken(recipe, str(error))) from error
    lines, said = _lines(recipe.text), _comments(recipe.text)
    found = []
    for path, value in _flat(tables):
        line = _line(lines, path)
        where = f"{recipe.name}, line {line}"
        found.append(Setting(path, _plain(value, where), where, comment=said.pop(line, "")))
    return found


def _broken(recipe: RecipeText, told: str) -> str:
    lines = recipe.text.splitlines() or [""]
    where = re.search(r"at line (\d+)", told)
    number = min(int(where.group(1)), len(lines)) if where else len(lines)
    line, told = lines[number - 1].strip(), told.partition(" (at ")[0]
    quotes = ""
    if re.fullmatch(r"[\w.-]+\s*=\s*[A-Za-z].*", line):
        quotes = ': words need quotes, as in model = "unet"'
    said = repr(line) if len(line) < 200 else f"{line[:200]!r}..."
    return f"{recipe.name}, line {number}: {said} is not valid TOML ({told}){quotes}"


def _flat(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the value of every key; a plain key that holds a table yields the table."""
    for key, value in table.items():
        path = (*above, key)
        if isinstance(value, dict) and value and path[0] in TABLES:
            yield from _flat(value, path)
        else:
            yield path, value


def _plain(value: Any, where: str) -> Any:
    """Return a value with ``null`` read as ``None``; dates and times are not allowed in a recipe."""
    if isinstance(value, list):
        return [_plain(one, where) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one, where) for key, one in value.items()}
    if not isinstance(value, bool | int | float | str):
        raise OptionError(f"{where}: a recipe cannot hold a {type(value).__name__}: write {value} in quotes")
    return None if value == NULL else value


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the first line of every key and table, which tomllib does not report."""
    lines: dict[tuple[str, ...], int] = {}
    above: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            above = _split(header.group(1))
            lines.setdefault(above, number)
        elif key := _KEY.match(line):
            path = (*above, *_split(key.group(1)))
            for depth in range(len(above) + 1, len(path) + 1):
                lines.setdefault(path[:depth], number)
    return lines


def _comments(text: str) -> dict[int, str]:
    """Return the comment directly above each line that has one, by line number.

    A comment above a table's header belongs to the table's first key, if that has no comment itself.
    """
    found: dict[int, str] = {}
    words: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if stripped.startswith("#"):
            words.append(stripped.lstrip("#").strip())
            continue
        if words and stripped:
            found[number] = " ".join(" ".join(words).split())
        above = found.get(number - 1, "")
        if above and _KEY.match(line) and _HEADER.match(lines[number - 2]):
            found.setdefault(number, above)
        words = []
    return found


def _split(dotted: str) -> tuple[str, ...]:
    parts = re.findall(r"""[\w-]+|"[^"]*"|'[^']*'""", dotted)
    return tuple(part.strip("\"'") for part in parts)


def _line(lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> int:
    """Return the line of a key, or of the inline table that holds it."""
    return next((lines[path[:depth]] for depth in range(len(path), 0, -1) if path[:depth] in lines), 1)


def settings_of_words(words: Iterable[str]) -> list[Setting]:
    """Read ``epochs=20``, ``model.width=16`` or ``loss.weights=[1,2]``; a value is JSON, TOML or else a word.

    Raises:
        OptionError: a word has no ``=``.
    """
    found = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            raise OptionError(f"{word!r} is not a setting: write key=value, such as epochs=20")
        found.append(Setting(tuple(key.strip().split(".")), _value(text.strip()), raw=text.strip()))
    return found


def _value(text: str) -> Any:
    try:
        return json_text.parse(text)
    except json_text.JsonError:
        pass
    if re.fullmatch(r"[+-]?(\d+\.|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE):
        return float(text)
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = found["value"]
    fit = len(found) == 1 and isinstance(value, bool | int | float | str | list | dict)
    return value if fit else text


def settings_of_values(values: Mapping[str, Any]) -> list[Setting]:
    """Return Python's keyword values as settings."""
    return [Setting(tuple(key.split(".")), _pythonic(value)) for key, value in values.items()]


def _pythonic(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def told(setting: Setting) -> str:
    """Return a setting's key and value for messages."""
    return f"{'.'.join(setting.path)} = {shown(setting.value)}"
