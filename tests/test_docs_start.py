"""The first pages: their commands are understood, their tables are true, and the page on own data works."""

from __future__ import annotations

import ast
import contextlib
import re
import shlex
import tomllib

import click
import pytest
import torch
from first_pages import OTHERS, PAGES, RECIPES, ROOT, Page

import segzoo
from segzoo import zoo
from segzoo.cli import command as program
from segzoo.cli import run
from segzoo.cli.train import _HOW, _recipe
from segzoo.errors import SegzooError
from segzoo.training.recipe.reading import read_recipe


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what the commands name: images, runs and recipes."""
    for name in ("photos", "spots", "mydata", "data", "mine"):
        for part in ("images", "masks"):
            (tmp_path / name / part).mkdir(parents=True)
    for name in ("wzmiaomiao-drive", "recipe", "unet", "microscopy"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "recipe.toml").write_text('data = "photos"\n', encoding="utf-8")
    (recipe,) = Page(ROOT / "docs/coming-from/mmsegmentation.md").blocks("toml")
    (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(line: str) -> str:
    """Return what is wrong with a command: nothing, if it is understood."""
    words = shlex.split(line, comments=True)
    words = words[words.index("segzoo") + 1 :]
    found: click.Command = program
    rest = words
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        chosen = found.get_command(click.Context(found), rest[0])
        if chosen is None:
            return f"{line}: no command is named {rest[0]!r}"
        found, rest = chosen, rest[1:]
    if not rest:
        return ""  # the command itself is meant
    try:
        with contextlib.suppress(click.exceptions.Exit):
            context = found.make_context(words[0], list(rest))
            if words[0] == "train":
                read_as_training(context.params)
    except (click.ClickException, SegzooError) as error:
        return f"{line}: {error}"
    return ""


def read_as_training(params):
    options = {key: one for key, one in params.items() if one is not None}
    values = {key: one for key, one in options.items() if key not in ("words", *_HOW)}
    if values.get("model") in OTHERS:
        values["model"] = "unet"
    # A planned recipe looks at the data, of which there is none here.
    recipes = zoo.registry("recipes")
    words = [word for word in options["words"] if word not in recipes or not recipes.get(word).planner]
    if len(words) < len(options["words"]):
        values.pop("minutes", None)
    _recipe(tuple(words), options.get("resume"), values)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_command_of_the_first_pages_is_understood(path, folder):
    assert list(filter(None, map(complaint, Page(path).commands))) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_picture_has_an_alternative_text_and_every_link_leads_somewhere(path):
    for told, file in Page(path).images:
        assert len(told) >= 5, f"{path.name}: {file} has no alternative text"
        assert (path.parent / file).is_file(), f"{path.name}: there is no {file}"
    for target in Page(path).links:
        place = target.partition("#")[0]
        there = target.startswith("https://") or not place or (path.parent / place).is_file()
        assert there, f"{path.name} links to {target}, which is not there"


@pytest.mark.parametrize("page", RECIPES)
def test_every_setting_in_a_table_of_another_program_is_a_key_of_ours(page, folder):
    # Folds are an option of the dataset that the recipe names, classes are one of folders.
    values = {} if page == "mindspore.md" else {"data": "photos"}
    seen = 0
    for row in (row for table in Page(ROOT / "docs/coming-from" / page).tables for row in table):
        for said in re.findall(r"`('?[\w.]+=[^`]+)`", row[-1]):
            read_recipe(RECIPES[page], [word for word in shlex.split(said) if "FILE" not in word], **values)
            seen += 1
        for said in re.findall(r"`(--model [^`]+=[^`]+)`", row[-1]):
            assert complaint(f"segzoo train {RECIPES[page]} --data photos {said}") == ""
    assert seen >= 3, f"docs/coming-from/{page}: {seen} settings"


def test_every_extra_and_every_plugin_is_told_with_what_it_brings():
    tables = Page(ROOT / "docs/start/install.md").tables
    told = {row[0].strip("`"): row[1:] for table in tables for row in table[2:]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, needs in project["optional-dependencies"].items():
        names = sorted(re.split(r"[\[>=<!~ ]", need)[0] for need in needs)
        assert extra in told, f"docs/start/install.md: no row for the extra {extra}"
        assert sorted(told[extra][-1].split(", ")) == names, f"docs/start/install.md: the extra {extra}"
    for folder in (ROOT / "plugins").glob("segzoo-*"):
        assert folder.name in told, f"docs/start/install.md: no row for {folder.name}"


def test_every_entry_point_of_torch_hub_is_told():
    source = ast.parse((ROOT / "hubconf.py").read_text(encoding="utf-8"))
    names = {node.name for node in source.body if isinstance(node, ast.FunctionDef)}
    text = Page(ROOT / "docs/start/first-mask.md").text
    section = re.search(r"^## torch\.hub\n(.*?)^## ", text, re.DOTALL | re.M)
    assert section is not None
    assert {name for name in names if not name.startswith("_") and f"`{name}`" not in section[1]} == set()


@pytest.mark.slow
def test_the_page_on_your_own_data_leads_from_a_folder_to_a_score(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = Page(ROOT / "docs/start/own-data.md")
    smaller = {"range(40)": "range(20)", "crop=96": "crop=32"}
    smaller |= {"epochs=20": "epochs=1", "epochs=2,": "epochs=1,"}
    smaller |= {"width=8": "width=2 model.depth=2", '"width": 8': '"width": 2, "depth": 2'}

    def small(text):
        for word, less in smaller.items():
            text = text.replace(word, less)
        return text

    generate, again = page.blocks("python")
    exec(compile(small(generate), page.path.name, "exec"), {})
    shown = "".join(page.blocks("console"))
    typed = [line for line in page.commands if line in shown and "photos" not in line]
    assert [line.split()[1] for line in typed] == ["data", "data", "train", "predict", "evaluate"]
    for line in typed:
        assert run(shlex.split(small(line))[1:]) == 0, capsys.readouterr().err
    exec(compile(small(again), page.path.name, "exec"), {})
    assert {"spots_preview.png", "found.png"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "report/report.html").is_file()


@pytest.mark.slow
def test_every_network_that_is_named_for_another_programs_is_built():
    seen = set()
    for path in PAGES:
        for call in re.findall(r"segzoo\.create\([^\n`]*?\)(?=`|  #|$)", Page(path).text, re.M):
            if "..." not in call:
                seen.add(re.sub(r", pretrained=True", "", call))
    assert len(seen) >= 12
    for call in sorted(seen):
        assert isinstance(ast.parse(call, mode="eval").body, ast.Call)
        with torch.device("meta"):
            assert isinstance(eval(call, {"segzoo": segzoo}), torch.nn.Module), call
