"""The base classes of specs, and functions that check specs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from segzoo.errors import UsageError
from segzoo.options import shown

if TYPE_CHECKING:
    from segzoo.specs.networks import ModelSpec

_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

#: Maximum length of a name, and of a text for people; maximum nesting of options.
_LONGEST_NAME, _LONGEST_TEXT, _DEEPEST = 100, 10_000, 20


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The fields of every spec.

    Attributes:
        name: lower-case letters, digits and ``_ . + -``; unique within its plug-in and kind.
        summary: one line that describes the part.
        aliases: further names, under the same rule as ``name``.
        paper: the publication, such as ``"arXiv:1505.04597"``.
    """

    kind: ClassVar[str] = "spec"

    name: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    paper: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.aliases, tuple):
            raise UsageError(f"{self.kind} {self.name!r}: aliases {self.aliases!r} must be a tuple of names")
        for name in (self.name, *self.aliases):
            # A subclass of str may define comparison and hashing differently.
            if type(name) is not str or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
                raise UsageError(
                    f"{shown(name)} cannot name a {self.kind}: use lower-case letters, digits and _ . + -, "
                    f"at most {_LONGEST_NAME} characters"
                )
        for name, types, told in _shapes(type(self)):
            value = getattr(self, name)
            if not isinstance(value, types) or (isinstance(value, str) and len(value) > _LONGEST_TEXT):
                raise UsageError(f"{self.kind} {self.name!r}: {name} must be {told}, got {shown(value)}")
            if isinstance(value, Mapping):
                _check_keys(f"{self.kind} {self.name!r}: {name}", value)


def _check_keys(told: str, value: Any, depth: int = 0) -> None:
    """Raise `UsageError` unless the keys of mappings are words, and no mapping contains itself."""
    if depth > _DEEPEST:
        raise UsageError(f"{told} contains itself, or is nested too deeply: more than {_DEEPEST} levels")
    if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
        raise UsageError(f"{told} must have words as keys, got {shown(value)}")
    if isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            _check_keys(told, one, depth + 1)


@cache
def _shapes(cls: type[Spec]) -> list[tuple[str, tuple[type, ...], str]]:
    """Return the fields that must be text, mappings or tuples for lists and pages to work."""
    known = {
        "str": ((str,), f"text of at most {_LONGEST_TEXT:,} letters"),
        "Mapping": ((Mapping,), "a mapping"),
        "tuple": ((tuple, list), "a tuple"),
    }
    annotated = {one.name: str(one.type) for one in fields(cls)}
    return [
        (name, *known[said.partition("[")[0]])
        for name, said in annotated.items()
        if said.partition("[")[0] in known and "|" not in said
    ]


@dataclass(frozen=True, kw_only=True)
class PartSpec(Spec):
    """A spec whose part is built by calling ``factory``, given as ``"package.module:callable"``.

    Attributes:
        factory: location of the callable, which is imported only when the part is built.
        options: keyword arguments that the factory always gets, such as which variant to build.
    """

    factory: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_factory(self)


def check_factory(spec: PartSpec | ModelSpec) -> None:
    """Raise `UsageError` unless a spec's factory names a callable in a module."""
    check_callable(spec, "factory", spec.factory)


def check_callable(spec: Spec, field: str, value: str) -> None:
    """Raise `UsageError` unless the value of a spec's field names a callable in a module."""
    if not isinstance(value, str) or not _FACTORY.fullmatch(value):
        raise UsageError(f"{spec.kind} {spec.name!r}: {field} {value!r} is not 'package.module:callable'")


def check_suffix(spec: Spec, value: str) -> None:
    """Raise `UsageError` unless a file suffix is in lower case and begins with a dot."""
    if not isinstance(value, str) or not value.startswith(".") or value != value.lower() or len(value) < 2:
        raise UsageError(
            f"{spec.kind} {spec.name!r}: suffix {value!r} must be in lower case and begin with a dot"
        )


def field_names(cls: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields, in order."""
    return tuple(item.name for item in fields(cls))
