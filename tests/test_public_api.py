"""What people and plug-ins may rely on is written down in ``public_api.txt``; this holds segzoo to it.

``python tests/test_public_api.py --write`` writes the file anew; docs/plugins/compatibility.md says when
that is right. Names and signatures are read from the source, so that no installed version changes them.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from api_source import Defined, described, find, parsed, public_names, signature
from conftest import ROOT
from test_plugins_public import PUBLIC

from segzoo.cli import command

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOT = Path(__file__).with_name("public_api.txt")
COMMAND = "python tests/test_public_api.py --write"

#: Modules for those who use segzoo from Python, besides those for plug-ins.
FOR_PEOPLE = (
    "segzoo.data_check",
    "segzoo.evaluation",
    "segzoo.serving",
    "segzoo.training",
    "segzoo.weights",
)

#: Of these modules, these names alone.
CHOSEN = {
    "segzoo.zoo": (
        "KINDS",
        *("encoders", "decoders", "models", "weights", "datasets", "metrics", "losses", "recipes", "plugins"),
        *("outputs", "registry", "refresh", "add_folder", "find_model", "find_encoder", "Pair"),
    ),
    "segzoo.registry": ("Registry", "Entry"),
    "segzoo.plugins": ("PluginRecord", "Status"),
    "segzoo.config": ("FORMAT_VERSION", "Architecture", "ModelConfig"),
    "segzoo.training.recipe.keys": ("PARTS", "GROUPS", "ABOUT", "ALIASES"),
}

ADVICE = f"""
What is public has changed (above: - as it was, + as it is).

Not on purpose: mend the code.
On purpose: 1. `{COMMAND}`
            2. a line in CHANGELOG.md, for those who upgrade
            3. commit tests/public_api.txt with the change
Was something removed or renamed, did a parameter or a field go, change its type or lose its default, did a
choice go away? Then docs/plugins/compatibility.md says what to do first: keep the old name for the period of
deprecation; and where plug-ins that are out there would break, API_VERSION in segzoo/hooks.py grows.
A field that plug-ins may give also needs a line in its docstring and in docs/plugins
(`python tests/test_docs_plugins.py --write`).
"""


def snapshot() -> str:
    """Return the text of all that is public."""
    parts = [(module, list(_names(module))) for module in (*PUBLIC, *FOR_PEOPLE, *CHOSEN)]
    parts += [
        ("the interface's entry point, and the opt-in plug-in of pytest", list(_interface())),
        ("torch.hub", list(_hub())),
        ("environment variables", list(_variables())),
        ("commands", list(_commands())),
    ]
    seen: dict[str, str] = {}
    text = ["What people and plug-ins may rely on. Written by `" + COMMAND + "`.\n"]
    for title, lines in parts:
        text.append(f"\n# {title}\n\n" + "".join(f"{line}\n" for line in _once(lines, seen)))
    return "".join(text)


def _names(module: str) -> Iterator[tuple[str, Defined]]:
    for name in CHOSEN.get(module) or public_names(module):
        yield f"{module}.{name}", find(module, name)


def _once(lines: list[Any], seen: dict[str, str]) -> Iterator[str]:
    """Yield each line; what has been described under another name is only named."""
    for line in lines:
        if isinstance(line, str):
            yield line
            continue
        path, found = line
        place = f"{found.module}.{found.name}"
        if place in seen and seen[place] != path:
            yield f"{path} is {seen[place]}"
        else:
            seen[place] = path
            yield from described(path, found)


def _interface() -> Iterator[str]:
    found = find("segzoo.discovery", "ENTRY_POINT_GROUP")
    yield next(described("entry points", found)).replace(" = ", ": ")
    tree = parsed("segzoo.testing.pytest_plugin")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            kind = {"addoption": "option", "addini": "setting"}.get(node.func.attr)
            if kind:
                yield f"{kind} {ast.literal_eval(node.args[0])}"
    text = ast.unparse(tree)
    yield from (f"fixture {name}" for name in re.findall(r"@pytest\.fixture\s+def (\w+)", text))
    yield from (f"fixture {name}" for name in re.findall(r"_FIXTURE = '(\w+)'", text))
    yield from (f"hook {name}" for name in re.findall(r"@pytest\.hookspec\s+def (\w+)", text))


def _hub() -> Iterator[str]:
    for node in ast.parse((ROOT / "hubconf.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{node.name}{signature(node)}"


def variables() -> list[str]:
    """Return the environment variables that segzoo reads."""
    found = set()
    for file in (ROOT / "segzoo").rglob("*.py"):
        found |= set(re.findall(r"[\"'](SEGZOO_[A-Z_]+)[\"']", file.read_text(encoding="utf-8")))
    return sorted(found)


def _variables() -> Iterator[str]:
    yield from variables()


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command, as it is called, and what it takes."""

    def walk(path: str, one: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield path, one
        if isinstance(one, click.Group):
            context = click.Context(one, info_name=path)
            for name in one.list_commands(context):
                inner = one.get_command(context, name)
                assert inner is not None
                yield from walk(f"{path} {name}", inner)

    yield from walk("segzoo", command)


def _commands() -> Iterator[str]:
    for path, one in commands():
        yield path
        yield from (f"{path} {_parameter(parameter)}" for parameter in one.params)


def _parameter(parameter: click.Parameter) -> str:
    names = "/".join((*parameter.opts, *parameter.secondary_opts))
    if isinstance(parameter, click.Argument):
        names = names.upper()
    is_flag = isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count)
    kind = "" if is_flag else f" {parameter.type.name}"
    if isinstance(parameter.type, click.Choice):
        kind = f" {'|'.join(map(str, parameter.type.choices))}"
    many = " ..." if parameter.multiple or parameter.nargs == -1 else ""
    return f"{names}{kind}{many}{' required' if parameter.required else ''}"


def test_what_is_public_is_as_it_was() -> None:
    before, now = SNAPSHOT.read_text(encoding="utf-8"), snapshot()
    lines = difflib.unified_diff(
        before.splitlines(), now.splitlines(), "as it was", "as it is", n=0, lineterm=""
    )
    assert before == now, "\n".join(lines) + "\n" + ADVICE


def test_a_change_is_told_line_by_line_with_what_to_do() -> None:
    now = snapshot()
    line = next(line for line in now.splitlines() if line.startswith("def segzoo.predict("))
    assert "->" in line
    assert COMMAND in ADVICE
    assert (ROOT / "docs/plugins/compatibility.md").is_file()


def test_every_public_name_of_segzoo_is_in_it() -> None:
    import segzoo

    now = snapshot()
    missing = [name for name in segzoo.__all__ if not re.search(rf"\bsegzoo\.{name}\b", now)]
    assert missing == []


def test_the_snapshot_says_nothing_of_the_machine_that_wrote_it() -> None:
    text = SNAPSHOT.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert " object at 0x" not in text


def main() -> None:
    """Write the snapshot, or print it."""
    parser = argparse.ArgumentParser(description=textwrap.shorten(__doc__ or "", 80))
    parser.add_argument("--write", action="store_true", help="write public_api.txt anew")
    text = snapshot()
    if parser.parse_args().write:
        SNAPSHOT.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
