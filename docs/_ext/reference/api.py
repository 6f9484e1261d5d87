"""The Python API: every public name of a module, under the name from which people import it.

Names of a module may be imported at their first use (PEP 562). They are looked up by their exported names, so
it does not matter where they are defined.
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

#: Special methods that show how an object is used.
_SPECIAL = ("call", "contains", "getitem", "iter", "len", "str", "enter", "exit")

#: Base classes that are not shown, because they carry no information.
_PLAIN = {"object", "Protocol", "Generic", "tuple", "NamedTuple"}


def room(module: str, *names: str) -> str:
    """Return the given names of a module in order, or all of them together with the anchor of the module."""
    lines = [f".. py:{'currentmodule' if names else 'module'}:: {module}", ""]
    public = rooms()[module]
    for name in names or public.names:
        path = f"{module}.{name}"
        lines += [*_described(module, name, path, public.same.get(name, "")), ""]
    return _fenced(lines)


def module(name: str) -> str:
    """Return the anchor of a module, for pages that divide its names into sections."""
    return _fenced([f".. py:module:: {name}"])


def hub() -> str:
    """Return the entry points of hubconf.py, for ``torch.hub.load``."""
    names = [line.partition("(")[0] for line in sections()["torch.hub"]]
    return _fenced([".. py:module:: hubconf", "", *(f".. autofunction:: hubconf.{one}" for one in names)])


def pytest_plugin(module: str = "segzoo.testing.pytest_plugin") -> str:
    """Return the options, settings, fixtures and hooks of the pytest plug-in."""
    lines = [f".. py:module:: {module}", "", ".. program:: pytest", ""]
    for line in sections()["the interface's entry point, and the opt-in plug-in of pytest"]:
        kind, _, name = line.partition(" ")
        if kind in _PYTEST:
            lines += [f".. {_PYTEST[kind]}:: {_MADE.get(kind, '')}{name}", "", *_indented(_ABOUT[name]), ""]
    return _fenced(lines)


_PYTEST = {"option": "option", "setting": "confval", "fixture": "py:function", "hook": "py:function"}
_MADE = {"fixture": "segzoo.testing.pytest_plugin.", "hook": "segzoo.testing.pytest_plugin."}
_ABOUT = {
    "--segzoo-plugin": "Run the checks of all parts that a distribution adds to segzoo.",
    "segzoo_plugin": "The distribution whose checks the fixture ``segzoo_check`` provides.",
    "segzoo_api": "The plug-in interface version for which the tests were written; others are refused.",
    "segzoo_expected_failures": "Checks that are expected to fail, one per line, as ``id: reason``.",
    "isolated_zoo": "A fixture: `segzoo.testing.isolated_zoo` during one test.",
    "segzoo_check": "A fixture: a test that uses it runs once for each `segzoo.testing.Check`.",
    "pytest_segzoo_arguments": "A hook for ``conftest.py``: more arguments of checks, by ``kind/name``.",
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
        if hasattr(thing, "_fields"):  # fields of a named tuple, which its docstring explains
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
    """Return whether a class, or a base class in segzoo, documents a method."""
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
