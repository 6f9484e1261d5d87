"""The command line as ``--help`` shows it: every command with its options, choices and defaults."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import click

from segzoo.cli import command as program

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(path: str = "segzoo", one: click.Command = program) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its path, a group before its commands."""
    yield path, one
    if isinstance(one, click.Group):
        context = click.Context(one, info_name=path)
        for name in one.list_commands(context):
            inner = one.get_command(context, name)
            assert inner is not None, f"{path} lists {name} and has none"
            yield from commands(f"{path} {name}", inner)


def every_command() -> str:
    """Return a section for each command."""
    return "\n\n".join(_section(path, one) for path, one in commands())


def _section(path: str, one: click.Command) -> str:
    context = click.Context(one, info_name=path, terminal_width=1000, help_option_names=["-h", "--help"])
    usage = one.get_usage(context).removeprefix("Usage: ")
    lines = [
        f"({path.replace(' ', '-')})=",
        f"{'#' * min(path.count(' ') + 2, 3)} {path}",
        "",
        f"```text\n{usage}\n```",
        "",
        *_paragraphs(one.help or ""),
        *_below(path, one, context),
        f"```{{program}} {path}\n```",
    ]
    for parameter in one.get_params(context):
        # Every command has --help, which is listed only once.
        if not getattr(parameter, "hidden", False) and (path == "segzoo" or "--help" not in parameter.opts):
            lines += ["", _parameter(parameter, context)]
    return "\n".join(lines)


def _below(path: str, one: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(one, click.Group):
        yield "Commands:\n"
        for name in one.list_commands(context):
            inner = one.get_command(context, name)
            told = _plain(inner.get_short_help_str(200)) if inner else ""
            yield f"- [`{path} {name}`](#{path.replace(' ', '-')}-{name}): {told}"
        yield ""


def _paragraphs(text: str) -> Iterator[str]:
    """Yield a help text as Markdown; paragraphs that click does not wrap become literal blocks."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```text\n{paragraph[1:].strip()}\n```\n"
        else:
            yield f"{_plain(paragraph)}\n"


def _parameter(parameter: click.Parameter, context: click.Context) -> str:
    record = parameter.get_help_record(context)
    if isinstance(parameter, click.Argument) or record is None:
        # The paragraphs above explain the arguments.
        name, text = _argument(parameter, context), _taken(parameter)
    else:
        name, text = record[0].replace(" / ", ", "), _plain(record[1])
    if isinstance(parameter.type, click.Choice):
        chosen = ", ".join(f"`{choice}`" for choice in parameter.type.choices)
        text = f"{text} One of {chosen}.".strip()
        name = re.sub(r" \[.*\|.*\]$", f" {(parameter.name or '').upper()}", name)
    return f"```{{option}} {name}\n\n{text}\n```"


def _argument(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter.type, click.Choice):
        return (parameter.name or "").upper()
    return ", ".join(word.strip("[].") for word in parameter.make_metavar(context).split())


def _taken(parameter: click.Parameter) -> str:
    """Return whether an argument is required, and whether it may be repeated."""
    needed = "Required" if parameter.required else "Optional"
    return f"{needed}; may be repeated." if parameter.nargs == -1 else f"{needed}."


def _plain(text: str) -> str:
    """Return a text in which characters that are markup in Markdown are escaped, except in code."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_<>\[\]#|])", r"\\\1", part) for part in parts
    )
