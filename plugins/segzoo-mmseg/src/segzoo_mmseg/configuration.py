"""What a configuration of MMSegmentation says, read as data: it is Python, and none of it runs.

``meta.cfg`` of a checkpoint is a text of assignments. Those of literals, of ``dict(...)``, of lists, and of
names assigned before are taken; everything else in it (imports, functions, calls, loops) is passed over, and
where such a value is needed, an error says that it is code.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

from segzoo.errors import WeightsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Longer texts, and values of more parts, are no configuration: the largest have some ten thousand parts.
_MOST_CHARACTERS, _MOST_PARTS = 2_000_000, 200_000
_MISSING: Any = object()


@dataclass(frozen=True)
class Code:
    """An expression that is not data.

    Attributes:
        text: the text in the configuration, shortened.
    """

    text: str


def read_configuration(text: str, where: str) -> dict[str, Any]:
    """Return what a configuration assigns, by name; what is not data is `Code`.

    Args:
        text: the configuration.
        where: what it is called in errors.

    Raises:
        WeightsError: it is not Python, or too large to be a configuration.
    """
    if len(text) > _MOST_CHARACTERS:
        raise WeightsError(f"{where} has {len(text):,} characters; no configuration is that long")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        told = f"line {line}" if line else type(error).__name__
        raise WeightsError(f"{where} is no configuration of MMSegmentation ({told})") from None
    reader = _Reader(where)
    for statement in tree.body:
        reader.read(statement)
    return reader.values


class _Reader:
    """Takes assignments, one after the other."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.values: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._parts = 0

    def read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        else:
            return
        if statement.value is None:
            return
        before = self._parts
        value = self._value(statement.value)
        for target in targets:
            if isinstance(target, ast.Name):
                self.values[target.id], self._sizes[target.id] = value, self._parts - before

    def _value(self, node: ast.expr) -> Any:
        self._count(1)
        try:
            return self._data(node)
        except (_NotDataError, RecursionError):
            return Code(_shortened(node))

    def _data(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.List() | ast.Tuple() | ast.Set():
                if any(isinstance(one, ast.Starred) for one in node.elts):
                    raise _NotDataError
                return [self._value(one) for one in node.elts]
            case ast.Dict():
                return self._entries(zip(node.keys, node.values, strict=True))
            case ast.Call(func=ast.Name(id="dict"), args=[]):
                return self._entries(
                    (None if one.arg is None else ast.Constant(one.arg), one.value) for one in node.keywords
                )
            case ast.Name() if node.id in self.values:
                self._count(self._sizes[node.id])
                return self.values[node.id]
            case ast.UnaryOp(
                op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float() as number)
            ):
                return -number if isinstance(node.op, ast.USub) else number
        raise _NotDataError

    def _entries(self, pairs: Iterable[tuple[ast.expr | None, ast.expr]]) -> dict[Any, Any]:
        entries: dict[Any, Any] = {}
        for key, value in pairs:
            found = self._value(value)
            if key is None:  # **other
                if not isinstance(found, dict):
                    raise _NotDataError
                entries |= found
            else:
                name = self._value(key)
                if not isinstance(name, str | int | float):
                    raise _NotDataError
                entries[name] = found
        return entries

    def _count(self, parts: int) -> None:
        """Refuse names that stand for lists of lists of lists, which are short to write and long to read."""
        self._parts += parts
        if self._parts > _MOST_PARTS:
            raise WeightsError(
                f"{self.where} has more than {_MOST_PARTS:,} parts; no configuration has as many"
            )


class _NotDataError(Exception):
    """An expression is neither a literal nor made of such."""


def _shortened(node: ast.expr) -> str:
    try:
        text = ast.unparse(node)
    except RecursionError:
        return "an expression"
    return text if len(text) < 60 else f"{text[:56]}..."


class Said:
    """One dictionary of a configuration, whose entries are asked for by name and type, each once.

    Args:
        entries: the dictionary.
        path: where it stands, such as ``model.backbone``.
        file: the checkpoint's name, for error messages.
    """

    def __init__(self, entries: object, path: str, file: str) -> None:
        self.path, self.file = path, file
        if isinstance(entries, Code):
            self.refuse(f"{path} is code, {entries.text}, which is not run")
        if not isinstance(entries, Mapping):
            self.refuse(f"{path} is not a dictionary")
        self.entries = cast("Mapping[str, Any]", entries)
        self._asked: set[str] = {"type", "init_cfg", "_delete_", "_scope_"}

    @property
    def type(self) -> str:
        """The class that it configures, without the library's prefix."""
        return self.text("type").rpartition(".")[2]

    @property
    def library(self) -> str:
        """The library that the class is of, such as ``mmpretrain``; empty for MMSegmentation itself."""
        library, dot, _ = self.text("type").partition(".")
        return library if dot and library != "mmseg" else ""

    def of_type(self, *known: str) -> None:
        """Refuse a class that is none of these."""
        if self.type not in known:
            self.refuse(f"{self.path} is a {self.type}; read are {', '.join(known)}")

    def text(self, key: str, default: Any = _MISSING) -> str:
        """Return an entry that is a word."""
        return self._typed(key, default, str, "a word")

    def flag(self, key: str, default: Any = _MISSING) -> bool:
        """Return an entry that is true or false."""
        return self._typed(key, default, bool, "True or False")

    def whole(self, key: str, default: Any = _MISSING) -> int:
        """Return an entry that is a whole number."""
        return self._typed(key, default, int, "a whole number")

    def number(self, key: str, default: Any = _MISSING) -> float:
        """Return an entry that is a number."""
        return self._typed(key, default, int | float, "a number")

    def wholes(self, key: str, default: Any = _MISSING) -> list[int]:
        """Return an entry that is a list of whole numbers; one number is a list of one."""
        value = self._value(key, default)
        value = [value] if _is(value, int) else value
        if not isinstance(value, list | tuple) or not all(_is(one, int) for one in value):
            self.refuse(f"{self.path}.{key} must be whole numbers, got {_told(value)}")
        return list(value)

    def flags(self, key: str, default: Any = _MISSING) -> list[bool]:
        """Return an entry that is a list of true and false."""
        value = self._value(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(one, bool) for one in value):
            self.refuse(f"{self.path}.{key} must be a list of True and False, got {_told(value)}")
        return list(value)

    def within(self, key: str) -> Said:
        """Return an entry that is a dictionary, empty where it is not said."""
        value = self._value(key, None)
        return Said({} if value is None else value, f"{self.path}.{key}", self.file)

    def given(self, key: str) -> Any:
        """Return an entry of any type; ``None`` if there is none."""
        return self._value(key, None)

    def only(self, key: str, *known: Any) -> Any:
        """Return an entry whose known values are these; the first is what it is where it is not said."""
        value = self._value(key, known[0])
        if value not in known:
            self.refuse(
                f"{self.path}.{key} is {_told(value)}; read is {' or '.join(_told(one) for one in known)}"
            )
        return value

    def ignore(self, *keys: str) -> None:
        """Skip entries that do not change what a trained network computes."""
        self._asked.update(keys)

    def finish(self) -> None:
        """Refuse entries that nobody asked for, since they may change what the network computes."""
        more = [key for key in self.entries if key not in self._asked]
        if more:
            value = _told(self.entries[more[0]])
            close = did_you_mean(str(more[0]), self._asked)
            self.refuse(f"{self.path} has {more[0]}={value}, which is not read{close}")

    def refuse(self, text: str) -> NoReturn:
        """Raise `WeightsError` with what is wrong with the configuration."""
        raise WeightsError(f"{self.file}: {text}")

    def _typed(self, key: str, default: Any, kind: Any, noun: str) -> Any:
        value = self._value(key, default)
        if value is not default and not _is(value, kind):
            self.refuse(f"{self.path}.{key} must be {noun}, got {_told(value)}")
        return value

    def _value(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        value = self.entries.get(key, default)
        if value is _MISSING:
            self.refuse(f"its configuration does not say {self.path}.{key}")
        if isinstance(value, Code):
            self.refuse(f"{self.path}.{key} is code, {value.text}, which is not run: write its value instead")
        return value


def _is(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _told(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]}..."
