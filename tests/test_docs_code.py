"""The code in README and docs runs: Python page by page, quick commands; all else is read."""

from __future__ import annotations

import doctest
import re
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from conftest import ROOT
from docs_code import ELSEWHERE, EVERY, PAGES, Block, blocks, in_example, runs, trouble, words_of
from PIL import Image

import segzoo
from segzoo import cli, zoo

sys.path.insert(0, str(ROOT / "docs/_ext"))
from reference import docstrings, public

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Pages with Python that no test of their own executes.
WITH_PYTHON = [
    page
    for page in PAGES
    if page.relative_to(ROOT).as_posix() not in ELSEWHERE
    and any(one.language == "python" and not one.reason and not in_example(one) for one in blocks(page))
]

#: Pages with commands that may be executed.
WITH_COMMANDS = [page for page in PAGES if any(one.language == "console" for one in blocks(page))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pages speak of: images, masks, and the folder of a training."""
    folder = tmp_path_factory.mktemp("reader")
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / "photos" / part).mkdir(parents=True)
    for number in range(10):
        image = random.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(image).save(folder / f"photos/images/{number}.png")
        Image.fromarray((image[..., 0] > 128).astype(np.uint8) * 255).save(
            folder / f"photos/masks/{number}.png"
        )
    with Image.open(ROOT / "docs/images/nuclei.png") as image:
        small = image.convert("RGB").crop((0, 0, 64, 64))
    for file in ("nuclei.png", "tissue.png", "cells.png", "photo.jpg", "new.jpg"):
        small.save(folder / file)
    torch.manual_seed(0)
    segzoo.save(segzoo.create("unet", num_classes=1, width=2, depth=2), folder / "runs/unet")
    (folder / "runs/unet/recipe.toml").write_text('data = "photos"\n', encoding="utf-8")
    return folder


@pytest.fixture
def reader(prepared: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of that folder, which is the working folder, with no network and a cache of its own."""
    folder = tmp_path / "reader"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    yield folder
    zoo.refresh()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_every_block_of_a_page_is_understood(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {str(block): trouble(block) for block in blocks(page) if trouble(block)} == {}


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_the_python_of_a_page_runs_in_order(page: Path, reader: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python" and not block.reason and not in_example(block):
            exec(compile(block.setup, f"{block} setup", "exec"), names)
            exec(compile("\n" * block.line + block.text, name(page), "exec"), names)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_commands_of_a_page_that_take_little_run(
    page: Path, reader: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for block in blocks(page):
        file = re.match(r"# ([\w-]+\.toml)\n", block.text) if block.language == "toml" else None
        if file:
            (reader / file[1]).write_text(block.text, encoding="utf-8")
        for line in block.commands if block.language == "console" and not block.reason else ():
            words = words_of(line)
            if words and runs(words, reader):
                shutil.rmtree(reader / "masks", ignore_errors=True)
                assert cli.run(words[1:]) == 0, f"{block}: {line}\n{capsys.readouterr().err}"


def test_a_reason_is_a_sentence_and_stands_above_a_block() -> None:
    reasons = [block.reason for block in EVERY if block.reason]
    assert all(len(reason.split()) > 1 for reason in reasons), reasons
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        said = len(re.findall(r"^ *% not executed", text, flags=re.MULTILINE))
        assert said == sum(bool(block.reason) for block in blocks(page)), (
            f"{name(page)}: one is above no block"
        )


@pytest.mark.parametrize("page", ELSEWHERE)
def test_a_page_that_another_test_executes_has_that_test(page: str) -> None:
    file, _, test = ELSEWHERE[page].partition(":")
    assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_what_is_wrong_with_a_block_is_found() -> None:
    def one(language: str, text: str) -> Block:
        return Block("docs/a.md", 1, language, text, "", "")

    assert "--modle" in trouble(one("console", "$ segzoo predict a.png --modle x\n"))
    assert "no command" in trouble(one("console", "$ segzoo predcit a.png\n"))
    assert "epoch" in trouble(one("console", "$ segzoo train --data photos epoch=3\n"))
    assert "say in" in trouble(one("console", "$ frobnicate\n"))
    assert trouble(one("python", "for\n"))
    assert trouble(one("toml", "a = \n"))
    assert trouble(one("console", "$ segzoo train --data photos \\\n    epochs=3  # three\n")) == ""


#: Examples in docstrings that are only read, and why.
UNDONE = {
    "segzoo.convert": "needs milesial's file",
    "segzoo.evaluation.score_model": "needs the dataset",
    "segzoo.evaluation.score_predictions": "needs predictions of four classes",
    "segzoo.exporting.certify": "needs an exported file",
    "segzoo.exporting.verify": "needs an exported file",
    "segzoo.testing.every_check": "needs a plug-in of yours",
    "segzoo.train": "takes twenty epochs",
    "segzoo.training.choose": "needs a training and its data",
    "segzoo.training.cross_validate": "takes five trainings",
    "segzoo.training.find_rate": "needs data, and takes a hundred steps",
    "segzoo.training.tune": "takes twelve trainings",
}


class Outputs(doctest.OutputChecker):
    """Compares what an example prints with what stands below it, where anything does."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


def examples() -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring of everything public whose docstring holds an example."""
    for module, room in public.rooms().items():
        for name in room.names:
            text = docstrings.docstring(f"{module}.{name}") if name not in room.same else ""
            if ">>> " in text:
                yield f"{module}.{name}", text


@pytest.mark.slow
@pytest.mark.parametrize(("path", "text"), list(examples()), ids=lambda one: one.partition(" ")[0])
def test_the_example_of_a_docstring_runs(path: str, text: str, reader: Path) -> None:
    from segzoo import specs, testing

    known = {**vars(specs), "segzoo": segzoo, "zoo": zoo, "torch": torch, "create": segzoo.create}
    known |= {name: getattr(testing, name) for name in testing.__all__}
    known["paths"] = ["nuclei.png", "tissue.png"]
    test = doctest.DocTestParser().get_doctest(text, known, path, None, None)
    if path in UNDONE:
        for example in test.examples:
            compile(example.source, path, "single")
        return
    said: list[str] = []
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    done = doctest.DocTestRunner(Outputs(), optionflags=options).run(test, out=said.append)
    assert (done.attempted, done.failed) == (len(test.examples), 0), "".join(said)
