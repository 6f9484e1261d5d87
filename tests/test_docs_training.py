"""docs/training names every key, option and recipe with its default, and its commands and examples work."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from segzoo import zoo
from segzoo.cli import command as program
from segzoo.cli import run
from segzoo.cli.train import _HOW, _recipe
from segzoo.cli.train import command as train_command
from segzoo.errors import SegzooError
from segzoo.specs import Resize
from segzoo.training.data.splits import _KEYS as SPLIT_KEYS
from segzoo.training.differences import MAY_DIFFER
from segzoo.training.optim.optimizers import optimizer_defaults
from segzoo.training.optim.schedules import schedule_defaults
from segzoo.training.parts import factories
from segzoo.training.recipe.keys import ALIASES
from segzoo.training.recipe.reading import read_recipe
from segzoo.training.recipe.schema import AUGMENT, Recipe

DOCS = Path(__file__).resolve().parents[1] / "docs/training"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}

#: What a table's cell says where there is no default, or nothing of that name.
NONE = "\N{EN DASH}"

STEPS = factories("augmentations")


def rows(page: str, *, under: str = "") -> dict[str, list[str]]:
    """Return the rows of a page's tables whose first cell is code, by that code; of one section, if any."""
    text = section(page, under) if under else PAGES[page]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0].startswith("`"):
            found[cells[0].partition(" / ")[0].strip("`")] = cells[1:]
    return found


def section(page: str, title: str) -> str:
    """Return what stands under a heading, up to the next of its rank or a higher one."""
    match = re.search(rf"^(#+) {re.escape(title)}\n", PAGES[page], re.MULTILINE)
    assert match, f"docs/training/{page} has no heading {title!r}"
    rest = PAGES[page][match.end() :]
    following = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def cell(text: str) -> Any:
    """Return the value that a cell of code shows as TOML."""
    return tomllib.loads(f"value = {text.strip('`')}")["value"]


def blocks(language: str) -> list[tuple[str, str]]:
    """Return page and text of every block of code in a language."""
    pattern = rf"^```{language}\n(.*?)^```$"
    return [
        (page, body)
        for page, text in PAGES.items()
        for body in re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    ]


def typed() -> list[tuple[str, list[str]]]:
    """Return page and words of every command of segzoo that a console shows, however it is started."""
    found = []
    for page, body in blocks("console"):
        for line in re.findall(r"^\$ (.*)$", body, re.MULTILINE):
            words = shlex.split(line)
            if "segzoo" in words and words[0] != "pip":
                found.append((page, words[words.index("segzoo") + 1 :]))
    return found


def shown_as(one: str | list[str]) -> str:
    """Return what pytest calls a page, the words of a command or a block."""
    return one.partition("\n")[0] if isinstance(one, str) else " ".join(one)


def told(page: str, what: str, found: dict[str, list[str]], name: str) -> list[str]:
    assert name in found, f"docs/training/{page} does not tell of {what} {name!r}: add a row"
    return found[name]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of twenty small images, the recipes of the pages and a run, all in the working folder."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for number in range(20):
        image = random.integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"photos/images/{number}.png")
        mask = (image[..., 0] > 128).astype(np.uint8) * 255
        Image.fromarray(mask).save(tmp_path / f"photos/masks/{number}.png")
    Image.fromarray(image).save(tmp_path / "new.jpg")
    for _, body in blocks("toml"):
        name = re.match(r"# ([\w.]+)\n", body)
        assert name, f"a recipe in docs/training begins with its file's name, as in # cells.toml:\n{body}"
        (tmp_path / name[1]).write_text(body, encoding="utf-8")
    for folder in ("runs/unet", "runs/cells", "runs/folds/fold-0"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "recipe.toml").write_text('data = "photos"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_key_of_a_recipe_is_told_with_its_type_and_default():
    found = rows("recipes.md", under="Every key")
    kinds = {bool: "true or false", int: "whole number", float: "number", str: "word", type(None): "word"}
    for item in fields(Recipe):
        kind, default, *_ = told("recipes.md", "the key", found, item.name)
        value = getattr(Recipe(data="photos"), item.name)
        wanted = kinds.get(type(value), "list" if isinstance(value, tuple) else "table")
        assert kind.startswith(wanted), f"docs/training/recipes.md: {item.name} is a {wanted}, not a {kind}"
        if default.startswith("`") and wanted != "table":
            right = tuple(cell(default)) if isinstance(value, tuple) else cell(default)
            assert right == value, f"docs/training/recipes.md: the default of {item.name} is {value!r}"
        else:
            assert item.default in (MISSING, None), f"docs/training/recipes.md: no default of {item.name}"
    assert set(found) == {item.name for item in fields(Recipe)}, "docs/training/recipes.md: an unknown key"
    assert found["augment"][1] == ", ".join(AUGMENT)
    assert cell("{" + found["schedule_options"][1].strip("`") + "}") == Recipe(data="x").schedule_options


def test_every_alias_is_told_with_its_key():
    found = {alias: cells[0].strip("`") for alias, cells in rows("recipes.md", under="Aliases").items()}
    assert found == ALIASES, "docs/training/recipes.md, Aliases: not those of segzoo.training.recipe.keys"


@pytest.mark.parametrize(
    ("title", "part", "tables"),
    [
        ("Optimizers", "optimizer", {name: optimizer_defaults(name) for name in factories("optimizers")}),
        ("Schedules", "schedule", {name: schedule_defaults(name) for name in factories("schedules")}),
    ],
)
def test_every_option_of_an_optimizer_or_schedule_is_told_with_its_default(title, part, tables):
    header = next(line for line in section("recipes.md", title).splitlines() if line.startswith("| option"))
    assert [one.strip() for one in header.split("|")[2:-2]] == list(tables), f"recipes.md, {title}: columns"
    found = rows("recipes.md", under=title)
    options = {f"{part}.{option}" for table in tables.values() for option in table}
    assert set(found) == options, f"docs/training/recipes.md, {title}: {set(found) ^ options}"
    for key, cells in found.items():
        for name, shown in zip(tables, cells, strict=False):
            default = tables[name].get(key.partition(".")[2], NONE)
            right = {NONE: NONE, None: "none"}.get(default) if default in (NONE, None) else default
            value = cell(shown) if shown.startswith("`") else shown
            value = tuple(value) if isinstance(value, list) else value
            assert value == right, f"docs/training/recipes.md: {key} of {name} is {right!r}, not {shown}"


@pytest.mark.parametrize("step", STEPS)
def test_every_step_of_augmentation_is_told_with_its_options_and_defaults(step):
    found = rows("recipes.md", under=f"`{step}`")
    options = {f"augment.{step}.{item.name}": item for item in fields(STEPS[step])}
    assert set(found) == set(options), f"docs/training/recipes.md, {step}: {set(found) ^ set(options)}"
    for key, item in options.items():
        value = item.metadata["read"](key, cell(found[key][0]))
        assert value == item.default, (
            f"docs/training/recipes.md: {key} is {item.default}, not {found[key][0]}"
        )


def test_no_step_is_told_of_that_there_is_not():
    titles = re.findall(r"^### `(\w+)`", section("recipes.md", "Augmentation"), re.MULTILINE)
    assert titles == [*STEPS, "one_of"]


def test_every_key_of_split_and_resize_is_told():
    assert set(rows("recipes.md", under="Split")) == {f"split.{key}" for key in SPLIT_KEYS}
    found = rows("recipes.md", under="Resize")
    assert set(found) == {f"resize.{item.name}" for item in fields(Resize)}
    for item in fields(Resize):
        shown = found[f"resize.{item.name}"][0]
        assert item.default is MISSING or cell(shown) == item.default, f"recipes.md: resize.{item.name}"


def test_every_recipe_that_ships_is_told():
    found = rows("recipes.md", under="Shipped recipes")
    names = set(zoo.registry("recipes").names())
    for name in names:
        told("recipes.md", "the recipe", found, name)
    for name in set(found) & names:
        for said in re.findall(r"`segzoo train ([^`]+)`", found[name][-1]):
            assert said.split()[0] == name


def test_every_option_of_the_command_is_told_with_its_default():
    found = rows("index.md", under="Every option")
    for parameter in train_command.params:
        if not isinstance(parameter, click.Option):
            continue
        cells = told("index.md", "the option", found, parameter.opts[0])
        default = re.search(r"\[default: (\d+)\]", parameter.help or "")
        assert not default or default[1] in cells[-1], f"docs/training/index.md: {parameter.opts[0]}"
        if parameter.name == "device":
            for word in re.findall(r"\b(auto|cpu|cuda|mps|npu)\b", parameter.help or ""):
                assert f"`{word}`" in cells[-1]


def test_what_may_change_on_resume_is_told():
    said = re.search(r"Only (.*?) may change on\s+resume", PAGES["results.md"], re.DOTALL)
    assert said, "docs/training/results.md does not say what may change on resume"
    assert set(re.findall(r"`(\w+)`", said[1])) == set(MAY_DIFFER), "docs/training/results.md, resume"


@pytest.mark.parametrize(("page", "words"), typed(), ids=shown_as)
def test_every_command_that_is_shown_is_understood(page, words, photos):
    found: click.Command = program
    rest = list(words)
    while isinstance(found, click.Group):
        chosen = found.get_command(click.Context(found), rest[0])
        assert chosen is not None, f"docs/training/{page}: no command is named {rest[0]!r}"
        found, rest = chosen, rest[1:]
    try:
        context = found.make_context(words[0], rest)
        if words[0] == "train" and context.params["extend"] is None:  # which reads what a training left
            options = {key: one for key, one in context.params.items() if one is not None}
            values = {key: one for key, one in options.items() if key not in ("words", *_HOW)}
            _recipe(options["words"], options.get("resume"), values)
    except (click.ClickException, SegzooError) as error:
        pytest.fail(f"docs/training/{page}: segzoo {' '.join(words)}: {error}")


@pytest.mark.parametrize(("page", "text"), blocks("toml"), ids=shown_as)
def test_every_recipe_that_is_shown_is_read(page, text, photos):
    name = text.partition("\n")[0].removeprefix("# ")
    read_recipe(photos / name, data="photos")


def test_settings_of_other_programs_are_keys_of_ours():
    recipes = {
        "milesial": "milesial-carvana",
        "bubbliiiing": "bubbliiiing-voc",
        "4uiiurz1": "nested-dsb2018",
    }
    seen = 0
    for theirs, cells in rows("recipes.md", under="Shipped recipes").items():
        whose = re.search(r"\((\w+)[^`]*\)$", theirs)
        for ours in re.findall(r"`('?[\w.]+=[^`]+)`", cells[-1]) if whose else []:
            assert read_recipe(recipes[whose[1]], shlex.split(ours), data="photos")
            seen += 1
    assert seen >= 11


@pytest.mark.parametrize(
    "words",
    [
        ["epoch=3"],
        ["optimizer=sgd", "optimizer.momentun=0.9"],
        ["epochs=ten"],
        ["epochs 3"],
        ["freeze=3", "epochs=3"],
        ["epochs=2", "schedule.warmup_epochs=5"],
        ["split.share=0.1", "split.folds=3"],
        ["best=iou"],
        ["mean=0.5"],
        ["precision=fp16", "device=cpu"],
        ["recipe.toml"],
    ],
    ids=" ".join,
)
def test_an_error_of_a_recipe_has_a_cure(words, photos):
    source = words[0] if "=" not in words[0] else None
    with pytest.raises(SegzooError) as raised:
        read_recipe(source, [word for word in words if word != source], data="photos")
    # Values differ; the words around them are those of the page.
    said = [re.sub(r"\W+", " ", one) for one in rows("troubles.md", under="The recipe")]
    text = re.sub(r"\W+", " ", str(raised.value))
    shared = max(len(common(text, one)) for one in said)
    assert shared >= 18, f"docs/training/troubles.md, The recipe, has no row for: {raised.value}"


def common(one: str, other: str) -> str:
    """Return the longest text that both hold."""
    from difflib import SequenceMatcher

    match = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    return one[match.a : match.a + match.size]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        name = path or page
        assert (DOCS / name).is_file(), f"docs/training/{page} links to {target}, which is not there"
        text = PAGES.get(name, "")
        titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not anchor or anchor in anchors, f"docs/training/{page}: {name} has no heading for #{anchor}"


@pytest.mark.parametrize(("page", "text"), blocks("python"), ids=shown_as)
def test_every_example_compiles(page, text):
    compile(text, page, "exec")


@pytest.mark.slow
def test_the_first_page_leads_from_a_folder_to_a_mask_and_a_score(photos, capsys):
    (photos / "runs/unet/recipe.toml").unlink()
    tiny = ["model.width=2", "model.depth=2", "crop=16", "epochs=1", "--no-progress"]
    for line in (
        "data check photos",
        "data preview photos",
        "data preview photos --augment",
        "train --data photos",
        "train --resume runs/unet",
        "predict new.jpg --model runs/unet --out masks",
        "evaluate runs/unet",
    ):
        words = line.split()
        assert ("index.md", words) in typed(), f"docs/training/index.md does not show segzoo {line}"
        assert run([*words, *(tiny if line == "train --data photos" else [])]) == 0, capsys.readouterr().err
    assert list((photos / "masks").glob("new_*.png"))
    left = {path.name for path in (photos / "runs/unet").iterdir()}
    listed = [line for line in section("results.md", "The run folder").splitlines() if "|" in line]
    assert {name for name in left if f"`{name}" not in " ".join(listed)} == set(), "results.md: files"
    row = json.loads((photos / "runs/unet/history.jsonl").read_text().splitlines()[0])
    columns = section("results.md", "The numbers")
    assert {name for name in row if f"`{name}`" not in columns} == set(), "results.md: columns"


@pytest.mark.slow
def test_the_examples_of_the_first_page_run(photos):
    smaller = {"epochs=20": "epochs=1", '"width": 16': '"width": 2, "depth": 2', "crop=128": "crop=16"}
    (photos / "runs/unet/recipe.toml").unlink()
    examples = [text for page, text in blocks("python") if page == "index.md"]
    # What predicts needs what the other has trained, though it stands before it.
    for example in sorted(examples, key=lambda text: "segzoo.train(" not in text):
        text = example
        for word, less in smaller.items():
            text = text.replace(word, less)
        exec(compile(text, "index.md", "exec"), {})
    assert (photos / "overlay.png").is_file()
