"""The pages of docs/plugins: their examples, links and commands, and the tables written from the source.

A table stands between ``<!-- fields segzoo.specs.Labels -->`` and ``<!-- end -->``;
``python tests/test_docs_plugins.py --write`` writes all of them anew.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api_source import class_of, fields, find, meanings_of, own_fields, public_names, signature
from conftest import ROOT
from test_plugins_public import PUBLIC

from segzoo.registry import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DOCS = ROOT / "docs/plugins"
COMMAND = "python tests/test_docs_plugins.py --write"

_MARKED = re.compile(r"<!-- (\w+)(?: ([\w.]+))? -->\n(.*?)<!-- end -->", flags=re.DOTALL)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code in a page; ``file`` is what its first line says it is, if anything."""

    language: str
    text: str
    file: str


def pages() -> list[Path]:
    """Return every page."""
    return sorted(DOCS.glob("*.md"))


def text_of(page: str) -> str:
    """Return what a page says."""
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """Return the blocks of code in a page."""
    found = []
    for language, body in _FENCE.findall(text):
        first = re.match(r"# ([\w./-]+\.(?:py|toml))\n", body)
        found.append(Block(language, body, first[1] if first else ""))
    return found


def example(page: str) -> list[Block]:
    """Return the blocks of a page's complete example, in order."""
    section = re.search(
        r"^## A complete example\n(.*?)(?=^## |\Z)", text_of(page), flags=re.DOTALL | re.MULTILINE
    )
    return blocks(section[1]) if section else []


def commands_in(text: str) -> set[str]:
    """Return what a page says people may type, from ``segzoo`` on."""
    outside = _FENCE.sub("", text)
    typed = []
    for language, body in _FENCE.findall(text):
        if language in ("console", ""):
            typed += re.findall(r"^(?:\$ )?(segzoo .*)$", body, flags=re.MULTILINE)
    return {
        re.split(r" # |    ", one)[0].strip() for one in (*typed, *re.findall(r"`(segzoo [^`]+)`", outside))
    }


def marks() -> Iterator[tuple[Path, str, str]]:
    """Yield the page, kind and subject of every table that is written from the source."""
    for page in pages():
        for kind, subject, _ in _MARKED.findall(page.read_text(encoding="utf-8")):
            yield page, kind, subject


def rendered(text: str) -> str:
    """Return a page with its tables as the source has them."""

    def table(found: re.Match[str]) -> str:
        kind, subject = found[1], found[2] or ""
        opening = f"<!-- {' '.join(filter(None, (kind, subject)))} -->"
        return f"{opening}\n\n{TABLES[kind](subject)}\n<!-- end -->"

    return _MARKED.sub(table, text)


def _fields(path: str) -> str:
    found = fields(path)
    rows = [(_code(one.name), _code(one.type), _code(one.default), _sentence(one.meaning)) for one in found]
    return _table(("field", "type", "default", "meaning"), rows)


def _protocol(path: str) -> str:
    node = class_of(path)
    meanings = meanings_of(node)
    attributes = [
        (_code(f.name), _code(f.type), _sentence(meanings.get(f.name, ""))) for f in own_fields(node)
    ]
    told = [f"Attributes:\n\n{_table(('attribute', 'type', 'meaning'), attributes)}"] if attributes else []
    optional = meanings_of(node, "Optional attributes")
    if optional:
        rows = [(_code(name), _sentence(meaning)) for name, meaning in optional.items()]
        told.append(f"Optional attributes:\n\n{_table(('attribute', 'meaning'), rows)}")
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    rows = [
        (_code(f"{one.name}{signature(one, method=True)}"), _sentence(_first_line(one))) for one in methods
    ]
    told.append(f"Methods:\n\n{_table(('method', 'what it does'), rows)}")
    given = {name: meaning for one in methods for name, meaning in meanings_of(one, "Args").items()}
    if given:
        rows = [(_code(name), _sentence(meaning)) for name, meaning in given.items()]
        told.append(f"Arguments:\n\n{_table(('argument', 'meaning'), rows)}")
    return "\n".join(told)


def _hook(name: str) -> str:
    node = find("segzoo.hooks", name).node
    assert isinstance(node, ast.FunctionDef)
    return f"Hook: `{name}{signature(node)}`. {_sentence(_first_line(node))}\n"


def _checks(_: str) -> str:
    rows, given = [], []
    for name in public_names("segzoo.testing"):
        node = find("segzoo.testing", name).node
        assert isinstance(node, ast.FunctionDef | ast.ClassDef)
        rows.append((_code(name), _sentence(_first_line(node))))
        meanings = meanings_of(node, "Args").items()
        given += [(_code(name), _code(one), _sentence(meaning)) for one, meaning in meanings]
    names = _table(("name", "what it is for"), rows)
    return f"{names}\nArguments:\n\n{_table(('name', 'argument', 'meaning'), given)}"


def _public(_: str) -> str:
    rows = [
        (
            _code(module),
            ", ".join(f"`{name}`" for name in public_names(module)) if module != "segzoo" else _own(),
        )
        for module in PUBLIC
    ]
    return _table(("module", "names"), rows)


def _own() -> str:
    return ", ".join(f"`{name}`" for name in public_names("segzoo") if not name.startswith("_"))


#: What writes the table of each kind.
TABLES: dict[str, Callable[[str], str]] = {
    "fields": _fields,
    "protocol": _protocol,
    "hook": _hook,
    "checks": _checks,
    "public": _public,
}


def promises(kind: str) -> set[str]:
    """Return the names of the promises of a kind of part, those of some cases alone among them."""
    node = find(f"segzoo.testing.{plural(kind)}", "_Subject").node
    assert isinstance(node, ast.ClassDef)
    # Properties are what the promises share.
    methods = (one.name for one in node.body if isinstance(one, ast.FunctionDef) and not one.decorator_list)
    return {name.replace("_", "-") for name in methods if name[0] != "_" and name != "promises"}


def first_column(text: str, heading: str) -> set[str]:
    """Return what the first column of the table under a heading holds in code."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^\| `([^`]+)`", section[1], flags=re.MULTILINE)) if section else set()


def _first_line(node: ast.FunctionDef | ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")


def _sentence(text: str) -> str:
    # Of docstrings, whose code stands in two backticks or, where it is a name, in one.
    return text.replace("``", "`").replace("|", "\\|")


def _code(text: str | None) -> str:
    return "" if text is None else f"`{text}`".replace("|", "\\|")


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)
