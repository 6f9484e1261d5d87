"""The Python API: every public name of a room, where people import it from.

A room's names may be imported when first used (PEP 562). They are asked for by the names that they are
exported under, so it makes no difference where they are defined.
"""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from reference.docstrings import comment, definition, docstring, first_line
from reference.public import rooms, sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Methods with underscores that say how an object is used.
_SPECIAL = ("call", "contains", "getitem", "iter", "len", "str", "enter", "exit")

#: Bases that say nothing to those who read of a class.
_PLAIN = {"object", "Protocol", "Generic", "tuple", "NamedTuple"}


def room(module: str, *names: str) -> str:
    """Return a room's names in order, or all of them; without names it is where the module's anchor is."""
    lines = [f".. py:{'currentmodule' if names else 'module'}:: {module}", ""]
    public = rooms()[module]
    for name in names or public.names:
        path = f"{module}.{name}"
        lines += [*_described(module, name, path, public.same.get(name, "")), ""]
    return _fenced(lines)


def module(name: str) -> str:
    """Return what makes a page that of a module, for pages that divide its names by sections."""
    return _fenced([f".. py:module:: {name}"])


def hub() -> str:
    """Return the entry points of hubconf.py, for ``torch.hub.load``."""
    names = [line.partition("(")[0] for line in sections()["torch.hub"]]
    return _fenced([".. py:module:: hubconf", "", *(f".. autofunction:: hubconf.{one}" for one in names)])


def pytest_plugin(module: str = "segzoo.testing.pytest_plugin") -> str:
    """Return what the plug-in of pytest brings: options, settings, fixtures and hooks."""
    lines = [f".. py:module:: {module}", "", ".. program:: pytest", ""]
    for line in sections()["the interface's entry point, and the opt-in plug-in of pytest"]:
        kind, _, name = line.partition(" ")
        if kind in _PYTEST:
            lines += [f".. {_PYTEST[kind]}:: {_MADE.get(kind, '')}{name}", "", *_indented(_ABOUT[name]), ""]
    return _fenced(lines)


_PYTEST = {"option": "option", "setting": "confval", "fixture": "py:function", "hook": "py:function"}
_MADE = {"fixture": "segzoo.testing.pytest_plugin.", "hook": "segzoo.testing.pytest_plugin."}
_ABOUT = {
    "--segzoo-plugin": "Run the checks of all that a distribution brings to segzoo.",
    "segzoo_plugin": "The distribution whose checks ``segzoo_check`` stands for.",
    "segzoo_api": "The plug-in interface version that the tests were written for; another one is refused.",
    "segzoo_expected_failures": "Promises that are known to be broken, one a line, as ``id: reason``.",
    "isolated_zoo": "A fixture: `segzoo.testing.isolated_zoo`, for the length of a test.",
    "segzoo_check": "A fixture: a test that takes it runs once for each `segzoo.testing.Check`.",
    "pytest_segzoo_arguments": "A hook for ``conftest.py``: what checks are given besides, by ``kind/name``.",
}


def _fenced(lines: Sequence[str]) -> str:
    return "\n".join(["```{eval-rst}", *lines, "```"])


def _indented(text: str) -> list[str]:
    return [f"   {line}" if line else "" for line in text.splitlines()]


def _described(module: str, name: str, path: str, same: str) -> Iterator[str]:
    thing = getattr(import_module(module), name)
    if same:
        kind = "py:class" if inspect.isclass(thing) else "py:function"
        yield from (f".. {kind}:: {name}", "", f"   The same as :py:obj:`{same}`. {_said(thing)}")
    elif inspect.ismodule(thing):
        yield from (f".. py:attribute:: {name}", "   :no-index:", "", f"   {first_line(thing)}")
    elif inspect.isclass(thing):
        yield from _class(path, thing)
    elif inspect.isroutine(thing):
        yield f".. autofunction:: {path}"
    else:
        yield from _constant(module, name, path)


def _said(thing: Any) -> str:
    return first_line(thing) if inspect.isroutine(thing) or inspect.isclass(thing) else ""


def _class(path: str, thing: type) -> Iterator[str]:
    kind = "exception" if issubclass(thing, BaseException) else "class"
    yield f".. auto{kind}:: {path}"
    if not issubclass(thing, BaseException):
        yield "   :members:"
        if hasattr(thing, "_fields"):  # a named tuple's, which its docstring tells of
            yield f"   :exclude-members: {', '.join(thing._fields)}"
        special = [f"__{name}__" for name in _SPECIAL if _own(thing, f"__{name}__")]
        if special:
            yield f"   :special-members: {', '.join(special)}"
        private = [base for base in thing.__mro__[1:] if base.__name__.startswith("_")]
        if private:
            rest = {base.__name__ for base in thing.__mro__[1:]} - {base.__name__ for base in private}
            yield f"   :inherited-members: {', '.join(sorted(rest))}"
    if {base.__name__ for base in thing.__bases__} - _PLAIN:
        yield "   :show-inheritance:"


def _own(thing: type, name: str) -> bool:
    """Return whether a class, or a base of segzoo's, says something of a method of its own."""
    made = [base for base in thing.__mro__ if base.__module__.startswith("segzoo") and name in vars(base)]
    return bool(made and inspect.getdoc(vars(made[0])[name]))


def _constant(module: str, name: str, path: str) -> Iterator[str]:
    place, node = definition(module, name)
    yield f".. py:data:: {name}"
    if isinstance(node, ast.AnnAssign):
        yield f"   :type: {ast.unparse(node.annotation)}"
    value = ast.unparse(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) and node.value else ""
    if value and len(value) < 90:
        yield f"   :value: {value}"
    yield from ("", *_indented(comment(place, name) or docstring(path)))
