"""Old names that still work, with a warning: of modules, of arguments and of the fields of specs."""

from __future__ import annotations

import functools
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Given = ParamSpec("Given")
Made = TypeVar("Made")
Class = TypeVar("Class", bound=type)


def moved_names(old: str, new: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a module that has another name now.

    Args:
        old: its old name, which still works, with a warning.
        new: the module that it became.
    """

    def get(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        value = getattr(import_module(new), name)
        warnings.warn(f"{old} is {new} now: import {name} from there", DeprecationWarning, stacklevel=2)
        return value

    return get, lambda: [name for name in dir(import_module(new)) if not name.startswith("_")]


def renamed(**names: str) -> Callable[[Callable[Given, Made]], Callable[Given, Made]]:
    """Return a decorator for a function or class whose keyword arguments were renamed.

    Args:
        **names: new name for each old name. The old name still works, with a warning.

    Example:
        >>> @renamed(callback="on_message")
        >>> def make(*, on_message): ...
    """

    def decorate(function: Callable[Given, Made]) -> Callable[Given, Made]:
        @functools.wraps(function)
        def taking(*given: Given.args, **named: Given.kwargs) -> Made:
            for old in names.keys() & named.keys():
                _warn(old, names[old])
                if names[old] in named:
                    raise TypeError(f"{old} is the old name of {names[old]}: give one of them")
                named[names[old]] = named.pop(old)
            return function(*given, **named)

        return taking

    return decorate


def renamed_fields(**names: str) -> Callable[[Class], Class]:
    """Return a decorator for a dataclass with fields that are called otherwise now.

    Args:
        **names: the new name by the old one, which is still taken and read, with a warning.
    """

    def decorate(kind: Class) -> Class:
        kind.__init__ = renamed(**names)(kind.__init__)
        for old, new in names.items():
            read = functools.partial(_read, old, new)
            setattr(kind, old, property(read, doc=f"The earlier name of ``{new}``."))
        return kind

    return decorate


def _read(old: str, new: str, thing: object) -> Any:
    _warn(old, new)
    return getattr(thing, new)


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is called {new} now", DeprecationWarning, stacklevel=3)
