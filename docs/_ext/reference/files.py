"""Tables of the content of files: the keys of ``config.json`` and the outputs of prediction."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from reference.docstrings import markdown, meanings, table
from segzoo.builtin import segzoo_outputs
from segzoo.config import ModelConfig


def config() -> str:
    """Return the table of the keys of ``config.json``, including those of nested objects."""
    first = ("`segzoo_format`", "the version of this format, a whole number")
    return table(("key", "meaning"), [first, *_keys(ModelConfig, "")])


def _keys(one: type[Any], before: str) -> list[tuple[str, str]]:
    said, types, rows = meanings(one), get_type_hints(one), []
    for item in fields(one):
        rows.append((f"`{before}{item.name}`", markdown(said[item.name])))
        hint = types[item.name]
        inner = next((part for part in (hint, *get_args(hint)) if is_dataclass(part)), None)
        if isinstance(inner, type):
            rows += _keys(inner, f"{before}{item.name}.")
    return rows


def outputs() -> str:
    """Return the table of the names that ``--outputs`` accepts."""
    rows = [
        (f"`{one.name}`", f"`NAME{one.suffix}`", " ".join(one.formats), markdown(one.summary))
        for one in segzoo_outputs()
    ]
    return table(("output", "file", "formats", "content"), rows)
