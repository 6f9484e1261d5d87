"""Docstrings and the comments above constants, as Markdown."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from collections.abc import Sequence


def first_line(thing: Any) -> str:
    """Return the first paragraph of a docstring."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def markdown(text: str) -> str:
    """Return a sentence of a docstring as Markdown, with one backtick around code."""
    return text.replace("``", "`")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; bars in cells are escaped."""
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def meanings(thing: Any, section: str = "Attributes") -> dict[str, str]:
    """Return the meaning of each name in a section of a docstring, on one line."""
    found = re.search(rf"^{section}:\n((?:[ \t]+.*\n?|\n)+)", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    told: dict[str, str] = {}
    for entry in re.split(r"^    (?=\S)", found[1], flags=re.MULTILINE)[1:] if found else []:
        names, _, meaning = entry.partition(": ")
        told.update({name.strip(): " ".join(meaning.split()) for name in names.split(",")})
    return told


@cache
def definition(module: str, name: str) -> tuple[str, ast.stmt]:
    """Follow a constant through imports to where it is assigned: the module, and the statement there.

    Raises:
        LookupError: neither the module nor what it imports the name from assigns it.
    """
    for node in _statements(module):
        if isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(one, ast.Name) and one.id == name for one in targets):
                return module, node
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("segzoo"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return definition(node.module or "", alias.name)
    raise LookupError(f"{module} assigns no {name}")


@cache
def _statements(module: str) -> list[ast.stmt]:
    """Return the top-level statements of a module, and those in an ``if`` such as ``if TYPE_CHECKING``."""
    spec = find_spec(module) if module else None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return []
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    inner = [one for node in body if isinstance(node, ast.If) for one in node.body]
    return [*body, *inner]


def comment(module: str, name: str) -> str:
    """Return the ``#:`` comment above a constant, or an empty text."""
    place, _ = definition(module, name)
    lines = ModuleAnalyzer.for_module(place).find_attr_docs().get(("", name), [])
    return "\n".join(lines).strip()


def _above(owner: type, name: str) -> str:
    """Return the ``#:`` comment above an attribute of a class."""
    lines = ModuleAnalyzer.for_module(owner.__module__).find_attr_docs().get((owner.__name__, name), [])
    return "\n".join(lines).strip()


def docstring(path: str) -> str:
    """Return the documentation of a public name, such as ``"segzoo.Segmentation.mask"``."""
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        module = ".".join(parts[:cut])
        try:
            thing: Any = import_module(module)
        except ModuleNotFoundError:
            continue
        return _of_member(module, thing, parts[cut:])
    raise LookupError(path)


def _of_member(module: str, thing: Any, names: Sequence[str]) -> str:
    owner = None
    for name in names:
        owner, thing = thing, inspect.getattr_static(thing, name, None) if owner else getattr(thing, name)
    if inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing):
        return inspect.getdoc(thing) or ""
    if inspect.isclass(owner):
        found = meanings(owner).get(names[-1], "") or (isinstance(thing, property) and inspect.getdoc(thing))
        return found or _above(owner, names[-1])
    return comment(module, names[-1])
