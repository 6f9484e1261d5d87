"""The hooks of a plug-in and the specs that they return."""

from __future__ import annotations

from dataclasses import fields
from inspect import getattr_static, signature

from reference.docstrings import first_line, table
from segzoo import hooks
from segzoo.plugins import HOOKS, SPEC_TYPES
from segzoo.registry import plural
from segzoo.specs import Spec


def every_hook() -> str:
    """Return the table of hooks, each with its page among the guides."""
    rows = []
    for name in HOOKS:
        hook = getattr_static(hooks, name)
        page = f"../plugins/{name.removeprefix('segzoo_')}.md"
        rows.append(
            (
                f"[`{name}`]({page})",
                f"`{signature(hook).return_annotation}`",
                first_line(hook),
            )
        )
    return table(("hook", "returns", "purpose"), rows)


def every_spec() -> str:
    """Return the table of specs with the fields of each, in addition to the common fields."""
    common = [item.name for item in fields(Spec)]
    rows = [
        (
            "{py:class}`~segzoo.specs.Spec`",
            "all",
            ", ".join(f"`{name}`" for name in common),
            "[all specs](../plugins/plain-data.md)",
        )
    ]
    for kind in SPEC_TYPES:
        own = ", ".join(f"`{item.name}`" for item in fields(kind) if item.name not in common)
        many = plural(kind.kind)
        rows.append(
            (
                f"{{py:class}}`~segzoo.specs.{kind.__name__}`",
                f"`{many}`",
                own,
                f"[{many}](../plugins/{many}.md)",
            )
        )
    return table(("spec", "registry", "fields", "page"), rows)
