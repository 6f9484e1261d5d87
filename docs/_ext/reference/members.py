"""The attributes that the docstring of a class lists, each with its type, its default and an anchor."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from reference.docstrings import definition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx


def spell_out(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, arguments: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Replace type aliases in signatures by the types, and defaults of factories by their values."""
    if what == "class" and getattr(thing, "_is_protocol", False):
        return "", None  # nobody calls it
    if arguments and what == "class" and is_dataclass(thing):
        made = iter([repr(one.default_factory()) for one in fields(thing) if callable(one.default_factory)])
        arguments = re.sub("<factory>", lambda _: next(made), arguments)
        arguments = re.sub(r"~[a-z.]+\.(?=[A-Z])", "", arguments)
    wrapped: Any = thing
    module = getattr(inspect.unwrap(wrapped), "__module__", "") or ""
    spelled = (_spelled(text, module) if text else text for text in (arguments, returned))
    first, second = spelled
    return first, second


def _spelled(text: str, module: str) -> str:
    return re.sub(r"(?<![\w.'\"])[A-Z]\w+(?![\w(])", lambda found: _alias(found[0], module), text)


@cache
def _alias(name: str, module: str) -> str:
    try:
        _, node = definition(module, name)
    except LookupError:
        return name
    value = getattr(node, "value", None)
    # Names with their own place in the reference are linked instead.
    if not isinstance(value, ast.BinOp | ast.Subscript) or module.startswith("segzoo.blocks"):
        return name
    return ast.unparse(value)


def tell(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Replace a docstring's section of attributes by a description of each."""
    if what != "class" or "Attributes:" not in lines:
        return
    start = lines.index("Attributes:")
    end = next(
        (n for n in range(start + 1, len(lines)) if lines[n].strip() and lines[n][0] != " "), len(lines)
    )
    lines[start:end] = _described(thing, lines[start + 1 : end])


def _described(thing: type, section: list[str]) -> Iterator[str]:
    types, defaults = _types(thing), _defaults(thing)
    for line in section:
        inside = line.removeprefix("    ")
        if inside.strip() and not inside.startswith(" "):
            names, _, meaning = inside.partition(":")
            for one in names.split(","):
                yield from ("", f".. py:attribute:: {one.strip()}")
                if isinstance(inspect.getattr_static(thing, one.strip(), None), property):
                    yield "   :no-index:"  # it has an entry of its own
                if one.strip() in types:
                    yield f"   :type: {types[one.strip()]}"
                if one.strip() in defaults:
                    yield f"   :value: {defaults[one.strip()]}"
                yield from ("", f"   {meaning.strip()}")
        else:
            yield f"   {inside.strip()}" if inside.strip() else ""
    yield ""


def _types(thing: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(thing.__mro__):
        found.update({name: str(one) for name, one in inspect.get_annotations(base).items()})
    return found


def _defaults(thing: type) -> dict[str, str]:
    if not is_dataclass(thing):
        return {}
    given = {item.name: item for item in fields(thing)}
    plain = {name: repr(item.default) for name, item in given.items() if item.default is not MISSING}
    made = {
        name: repr(item.default_factory())
        for name, item in given.items()
        if item.default_factory is not MISSING
    }
    return {name: text for name, text in {**plain, **made}.items() if len(text) < 60}
