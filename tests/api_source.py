"""Reads names, signatures and docstrings from the source, so that no installed version changes them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Methods with underscores that say how an object is used.
_SPECIAL = (
    "__call__",
    "__contains__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__str__",
    "__enter__",
    "__exit__",
)


@dataclass(frozen=True)
class Defined:
    """Where a public name comes from: a definition, or a module where ``node`` is ``None``."""

    module: str
    name: str
    node: ast.AST | None


@dataclass(frozen=True)
class Field:
    """A field of a dataclass, or an attribute of a protocol."""

    name: str
    type: str
    default: str | None
    meaning: str = ""


def module_file(module: str) -> Path | None:
    """Return the file of a module of segzoo, if there is one."""
    path = ROOT.joinpath(*module.split("."))
    files = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


@cache
def parsed(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    file = module_file(module)
    assert file is not None, f"there is no module {module}"
    return ast.parse(file.read_text(encoding="utf-8"))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body and of the ``if`` blocks in it, such as ``if TYPE_CHECKING``."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from statements(node.body)


def defined_names(node: ast.stmt) -> list[str]:
    """Return what a statement defines; an import defines nothing."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def public_names(module: str) -> list[str]:
    """Return a module's ``__all__``, or what it defines without an underscore in front."""
    defined: list[str] = []
    for node in parsed(module).body:
        names = defined_names(node)
        if "__all__" in names and isinstance(node, ast.Assign):
            return sorted(ast.literal_eval(node.value))
        defined += [name for name in names if not name.startswith("_")]
    return sorted(set(defined))


def find(module: str, name: str) -> Defined:
    """Follow a name through segzoo's own imports to where it is defined."""
    for node in statements(parsed(module).body):
        if name in defined_names(node):
            return Defined(module, name, node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("segzoo"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _imported(node.module or "", alias.name)
    raise AssertionError(f"{module} has {name} in __all__ and neither defines nor imports it")


def _imported(module: str, name: str) -> Defined:
    if module_file(f"{module}.{name}") is not None and name not in public_names(module):
        return Defined(f"{module}.{name}", "", None)
    if module_file(f"{module}.{name}") is not None and module == "segzoo":
        return Defined(f"{module}.{name}", "", None)
    return find(module, name)


def class_of(path: str) -> ast.ClassDef:
    """Return the class that ``"segzoo.specs.EncoderSpec"`` names."""
    module, _, name = path.rpartition(".")
    node = find(module, name).node
    assert isinstance(node, ast.ClassDef), f"{path} is no class"
    return node


def bases(module: str, node: ast.ClassDef) -> Iterator[Defined]:
    """Yield the bases of a class that segzoo itself defines."""
    for base in node.bases:
        name = ast.unparse(base).partition("[")[0]
        for statement in statements(parsed(module).body):
            imported = isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("segzoo")
            known = imported and any((a.asname or a.name) == name for a in statement.names)
            if known or name in defined_names(statement):
                yield find(module, name)
                break


def fields(path: str, *, inherited: bool = True) -> list[Field]:
    """Return the fields of a dataclass, those of its bases first, with what docstrings say of them."""
    module, _, name = path.rpartition(".")
    found = find(module, name)
    assert isinstance(found.node, ast.ClassDef)
    collected: dict[str, Field] = {}
    if inherited:
        for base in bases(found.module, found.node):
            collected.update({one.name: one for one in fields(f"{base.module}.{base.name}")})
    meanings = meanings_of(found.node)
    for one in own_fields(found.node):
        before = collected.get(one.name)
        meaning = meanings.get(one.name, before.meaning if before else "")
        collected[one.name] = Field(one.name, one.type, one.default, meaning)
    return list(collected.values())


def own_fields(node: ast.ClassDef) -> list[Field]:
    """Return the annotated attributes of a class, without what its docstring says of them."""
    found = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            kind, default = ast.unparse(item.annotation), item.value
            if not kind.startswith("ClassVar") and not item.target.id.startswith("_"):
                found.append(Field(item.target.id, kind, None if default is None else default_of(default)))
    return found


def default_of(value: ast.expr) -> str | None:
    """Return a default as people write it, if there is one: ``field(default_factory=dict)`` is ``{}``."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        for keyword in value.keywords:
            if keyword.arg == "default":
                return ast.unparse(keyword.value)
            if keyword.arg == "default_factory":
                made = ast.unparse(keyword.value)
                if isinstance(keyword.value, ast.Lambda):
                    return ast.unparse(keyword.value.body)
                return {"dict": "{}", "list": "[]", "tuple": "()"}.get(made, f"{made}()")
        return None
    return ast.unparse(value)


def meanings_of(
    node: ast.ClassDef | ast.Module | ast.FunctionDef, section: str = "Attributes"
) -> dict[str, str]:
    """Return what a docstring's section says of each name, on one line."""
    text = ast.get_docstring(node) or ""
    found = re.search(rf"^{section}:\n((?:[ \t]+.*\n?|\n)+)", text, flags=re.MULTILINE)
    entries = re.split(r"^    (?=\S)", found[1], flags=re.MULTILINE)[1:] if found else []
    told: dict[str, str] = {}
    for entry in entries:
        words = re.match(r"([\w, *]+?)(?: \([^)]*\))?: ((?:.|\n)*)", entry)
        if words:
            for name in words[1].split(","):
                told[name.strip().lstrip("*")] = " ".join(words[2].split())
    return told


def signature(node: ast.FunctionDef, *, method: bool = False) -> str:
    """Return ``(a: int, *, b: str = '') -> None``, without ``self``."""
    plain = any(ast.unparse(one) == "staticmethod" for one in node.decorator_list)
    arguments = list(_arguments(node.args))[1 if method and not plain else 0 :]
    if arguments[:1] == ["/"] and method:
        del arguments[0]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({', '.join(arguments)}){returns}"


def _arguments(given: ast.arguments) -> Iterator[str]:
    """Yield each argument as people write it, ``/`` and ``*`` among them."""
    positional = [*given.posonlyargs, *given.args]
    absent: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    for number, (one, default) in enumerate(
        zip(positional, [*absent, *given.defaults], strict=True), start=1
    ):
        yield _argument(one, default)
        if number == len(given.posonlyargs):
            yield "/"
    if given.vararg:
        yield f"*{_argument(given.vararg, None)}"
    elif given.kwonlyargs:
        yield "*"
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _argument(one, default)
    if given.kwarg:
        yield f"**{_argument(given.kwarg, None)}"


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(one.annotation)}" if one.annotation else ""
    value = "" if default is None else f"{' = ' if kind else '='}{ast.unparse(default)}"
    return f"{one.arg}{kind}{value}"


def described(path: str, found: Defined) -> Iterator[str]:
    """Yield the lines that say what a public name is, one for it and one for each of its members."""
    node = found.node
    if node is None:
        yield f"module {path}"
    elif isinstance(node, ast.FunctionDef):
        decorators = "".join(
            f"@{name} " for name in map(ast.unparse, node.decorator_list) if name == "contextmanager"
        )
        yield f"{decorators}def {path}{signature(node)}"
    elif isinstance(node, ast.ClassDef):
        yield from _class_lines(path, found.module, node)
    elif isinstance(node, ast.AnnAssign):
        value = f" = {ast.unparse(node.value)}" if node.value else ""
        yield f"{path}: {ast.unparse(node.annotation)}{value}"
    elif isinstance(node, ast.Assign):
        # The version is another one in every release.
        yield path if path.endswith("__version__") else f"{path} = {ast.unparse(node.value)}"


def _class_lines(path: str, module: str, node: ast.ClassDef) -> Iterator[str]:
    parents = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
    decorators = "".join(f"@{ast.unparse(one)} " for one in node.decorator_list)
    yield f"{decorators}class {path}{parents}"
    for base in bases(module, node):
        # What a base that is not public gives is the class's own.
        if isinstance(base.node, ast.ClassDef) and base.name.startswith("_"):
            yield from list(_class_lines(path, base.module, base.node))[1:]
    for one in own_fields(node):
        default = "" if one.default is None else f" = {one.default}"
        yield f"{path}.{one.name}: {one.type}{default}"
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            if item.name == "__init__":
                yield f"def {path}{signature(item, method=True).removesuffix(' -> None')}"
            elif item.name in _SPECIAL or not item.name.startswith("_"):
                kinds = {ast.unparse(one) for one in item.decorator_list}
                kind = "property" if kinds & {"property", "cached_property"} else "def"
                yield f"{kind} {path}.{item.name}{signature(item, method=True)}"
