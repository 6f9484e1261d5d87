"""The reference has every public name, command, option, key, variable and exception, and its meaning."""

from __future__ import annotations

import inspect
import json
import re
import sys
from dataclasses import fields
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pytest
from conftest import ROOT
from sphinx.util.inventory import InventoryFile

import segzoo
from segzoo import cli, errors
from segzoo.builtin import segzoo_outputs
from segzoo.config import ModelConfig
from segzoo.evaluation.writing import DATA, PAGE, TABLE
from segzoo.training.recipe.keys import ALIASES
from segzoo.training.recipe.schema import Recipe

sys.path.insert(0, str(ROOT / "docs/_ext"))
from reference import commands, docstrings, exceptions, members, public, written

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs/reference"
ROOMS = public.rooms()

#: Variables that mean nothing to people: a library reads one, and shells and terminals set the others.
UNTOLD = {"CI", "COMP_CWORD", "COMP_WORDS", "TERM"}


@cache
def page(name: str) -> str:
    """Return a page as it is before it is built, with what is written from the code."""
    return written((DOCS / name).read_text(encoding="utf-8"))


def inventory(site: Path) -> set[str]:
    """Return every name that the built site has an anchor for."""
    with (site / "objects.inv").open("rb") as file:
        found: Any = InventoryFile.load(file, "", lambda base, name: name)
    return {f"{kind} {name}" for kind in found for name in found[kind]}


@pytest.mark.slow
def test_every_public_name_has_its_place_in_the_reference(docs_site: Path) -> None:
    there = {name.partition(" ")[2] for name in inventory(docs_site) if name.startswith("py:")}
    wanted = {path for room in ROOMS.values() for path in room.all} | set(ROOMS)
    wanted |= {f"hubconf.{line.partition('(')[0]}" for line in public.sections()["torch.hub"]}
    assert len(wanted) > 500
    assert sorted(wanted - there) == [], "add the name to a page of docs/reference/api"


@pytest.mark.slow
def test_every_option_of_every_command_has_an_anchor(docs_site: Path) -> None:
    there = inventory(docs_site)
    for path, one in commands.commands():
        for parameter in one.params:
            for name in parameter.opts if isinstance(parameter, click.Option) else ():
                assert f"std:cmdoption {path.replace(' ', '-')}.{name}" in there or hidden(parameter), (
                    path,
                    name,
                )


def hidden(parameter: click.Parameter) -> bool:
    return bool(getattr(parameter, "hidden", False))


@pytest.mark.parametrize("module", ROOMS)
def test_every_public_name_of_a_room_says_what_it_is(module: str) -> None:
    silent = [path for path in ROOMS[module].all if not docstrings.docstring(path)]
    assert silent == [], "a docstring, a line in Attributes of its class, or a comment `#:` above it"


def public_calls() -> list[tuple[str, Any, list[str]]]:
    """Return every public function, method and constructor with parameters, and the names of these."""
    found = []
    for module, room in ROOMS.items():
        for path in room.all:
            thing: Any = import_module(module)
            for name in path.removeprefix(f"{module}.").split("."):
                thing = (
                    inspect.getattr_static(thing, name, None)
                    if inspect.isclass(thing)
                    else getattr(thing, name)
                )
            thing = getattr(thing, "__func__", thing)
            call = vars(thing).get("__init__") if inspect.isclass(thing) else thing
            if inspect.isfunction(call) and path.rpartition(".")[2] not in room.same:
                names = [name for name in inspect.signature(call).parameters if name not in ("self", "cls")]
                generated = inspect.isclass(thing) and (
                    hasattr(thing, "__dataclass_fields__") or is_protocol(thing)
                )
                if names and not generated:
                    found.append((path, thing, names))
    return found


def is_protocol(thing: type) -> bool:
    return bool(getattr(thing, "_is_protocol", False))


def test_parameters_are_told_of_where_there_are_several() -> None:
    untold = {}
    for path, thing, names in public_calls():
        text = inspect.getdoc(thing) or ""
        told = {name.strip("*").partition(" ")[0] for name in docstrings.meanings(thing, "Args")}
        if re.search(r"\bsee `segzoo", text):
            continue
        # One that the first sentences name in code needs no line of its own.
        missing = [
            name for name in names if name not in told and not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)
        ]
        if (told and missing) or len(missing) > 1:
            untold[path] = missing
    assert untold == {}, "add them to Args of the docstring"


def test_every_attribute_that_a_docstring_tells_of_is_one() -> None:
    for room in ROOMS.values():
        for path in room.all:
            module, _, name = path.rpartition(".")
            thing = getattr(import_module(module), name, None) if module in ROOMS else None
            if inspect.isclass(thing) and hasattr(thing, "__dataclass_fields__"):
                told, there = set(docstrings.meanings(thing)), {item.name for item in fields(thing)}
                assert told <= there | set(dir(thing)), path


def test_the_tables_of_a_docstring_become_attributes_with_type_and_default() -> None:
    lines = (inspect.getdoc(segzoo.specs.Labels) or "").splitlines()
    members.tell(None, "class", "Labels", segzoo.specs.Labels, None, lines)  # type: ignore[arg-type] - unused
    text = "\n".join(lines)
    assert ".. py:attribute:: ignore_index\n   :type: int | None\n   :value: None\n" in text
    assert "Attributes:" not in text


@pytest.mark.parametrize("path", [path for path, _ in commands.commands()])
def test_every_command_is_told_with_its_options_choices_and_defaults(path: str) -> None:
    one = dict(commands.commands())[path]
    rank = "##" if path == "segzoo" else "###"
    text = page("cli.md").partition(f"\n{rank} {path}\n")[2].partition("\n)=\n")[0].partition("\n(segzoo")[0]
    assert text, f"docs/reference/cli.md has no section {path}"
    for parameter in one.params:
        if isinstance(parameter, click.Option) and not hidden(parameter):
            assert all(name in text for name in parameter.opts), parameter.opts
            for choice in parameter.type.choices if isinstance(parameter.type, click.Choice) else ():
                assert f"`{choice}`" in text
            if parameter.show_default is True and parameter.default not in (None, (), False):
                assert f"default: {parameter.default}" in text.replace("\\", "")


def test_every_key_of_a_recipe_and_every_other_word_is_there() -> None:
    text = page("recipe-keys.md")
    missing = [item.name for item in fields(Recipe) if f"| `{item.name}` |" not in text]
    assert missing + [alias for alias in ALIASES if f"| `{alias}` |" not in text] == []


def variables() -> set[str]:
    """Return the names of the environment that the code reads, whoever defined them."""
    found = set()
    for file in [ROOT / "hubconf.py", *(ROOT / "segzoo").rglob("*.py")]:
        text = file.read_text(encoding="utf-8")
        found |= set(re.findall(r"environ(?:\.get|\.pop|)[\[(]\s*[\"']([A-Z][A-Z_]+)", text))
        found |= set(
            re.findall(r"[\"']((?:SEGZOO|HF|HUGGINGFACE|TORCH|XDG|KAGGLE|WANDB)_[A-Z_]+[A-Z])[\"']", text)
        )
        found |= set(re.findall(r"[\"']((?:OMP|MKL)_NUM_THREADS)[\"']", text))
    return found - UNTOLD


def test_every_variable_that_the_code_reads_is_explained() -> None:
    there = re.findall(r"^```\{envvar\} (\w+)\n\n(.+)", page("environment.md"), flags=re.MULTILINE)
    assert {"SEGZOO_HOME", "HF_HOME", "OMP_NUM_THREADS", "RANK"} <= variables()
    assert sorted(variables() - {name for name, _ in there}) == [], "docs/reference/environment.md"


def test_every_exception_is_told_with_its_cure() -> None:
    text = page("exceptions.md")
    for name in errors.__all__:
        one = getattr(errors, name)
        if inspect.isclass(one):
            assert f"\n## {name}\n" in text
            assert name in exceptions.tree(), f"segzoo/errors.py: the tree does not show {name}"
            assert len(exceptions.cure(one).split()) > 8, f"segzoo/errors.py: {name} does not say what to do"


def test_every_hook_and_spec_leads_to_its_page() -> None:
    for name in re.findall(r"\]\(\.\./plugins/([\w-]+)\.md\)", page("hooks.md")):
        assert (ROOT / f"docs/plugins/{name}.md").is_file()


def keys_of_files() -> set[str]:
    return set(re.findall(r"^\| `([\w.]+)`", page("files.md"), flags=re.MULTILINE))


@pytest.mark.slow
def test_the_files_that_are_described_are_those_that_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = page("files.md")
    monkeypatch.chdir(tmp_path)
    segzoo.save(segzoo.create("unet", num_classes=2, width=2, depth=2), "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors"}
    config = json.loads((tmp_path / "model/config.json").read_text())
    nested = {f"{key}.{inner}" for key in ("architecture", "labels") for inner in config[key]}
    assert {*config, *nested} <= keys_of_files()
    from PIL import Image

    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save("a.png")
    outputs = ",".join(one.name for one in segzoo_outputs())
    assert cli.run(["predict", "a.png", "--model", "model", "--outputs", outputs]) == 0
    for line in (tmp_path / "masks/manifest.jsonl").read_text().splitlines():
        assert set(json.loads(line)) <= keys_of_files() | {"height", "width"}
        for name in json.loads(line)["outputs"]:
            assert f"`{name.replace('a_', 'NAME_', 1)}`" in text
    assert (tmp_path / "masks/a_areas.csv").read_text().splitlines()[0] == "class,index,pixels,share,objects"
    coco = json.loads((tmp_path / "masks/a_coco.json").read_text())
    assert [key for key in coco if f"`{key}`" not in text] == []


def test_what_a_report_and_a_config_hold_is_told() -> None:
    text = page("files.md")
    assert [name for name in (PAGE, TABLE, DATA) if f"`{name}`" not in text] == []
    assert [item.name for item in fields(ModelConfig) if item.name not in keys_of_files()] == []
