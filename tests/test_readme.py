"""README.md and README.zh-CN.md say the same; their pictures, scores and commands are true."""

from __future__ import annotations

import ast
import contextlib
import re
import runpy
import shutil
import sys
from collections import Counter

import click
import pytest
import torch
from first_pages import CHINESE, ENGLISH, FENCE, READMES, ROOT, Page

from segzoo.cli import command

sys.path.insert(0, str(ROOT / "docs/_ext"))
from zoo_pages import readme

#: What only the Chinese file has.
MIRRORS = re.compile(r"<!-- mirrors:begin -->\n(.*?)<!-- mirrors:end -->\n\n", re.DOTALL)
#: Commands that the README leaves to the reference.
ELSEWHERE = {"cache", "completion", "fetch", "release"}


class Translated(Page):
    """The Chinese file without the part on mirrors."""

    @property
    def text(self) -> str:
        return MIRRORS.sub("", self.path.read_text(encoding="utf-8"))


def both() -> tuple[Page, Page]:
    """Return the English and the Chinese file."""
    return Page(ENGLISH), Translated(CHINESE)


def test_the_languages_of_readme_lead_to_one_another():
    for one, other in (READMES, READMES[::-1]):
        top = "\n".join(Page(one).text.splitlines()[:4])
        assert f"]({other.name})" in top, f"{one.name} does not begin with a link to {other.name}"


def test_the_languages_of_readme_have_the_same_headings_code_pictures_and_links():
    one, other = both()
    levels = [[len(mark) for mark in re.findall(r"^(#+) ", page.prose, re.M)] for page in (one, other)]
    assert levels[0] == levels[1]
    assert FENCE.findall(one.text) == FENCE.findall(other.text)
    assert [file for _, file in one.images] == [file for _, file in other.images]
    assert sorted(one.links) == sorted(other.links)


def test_the_tables_of_both_languages_have_the_same_rows_and_figures():
    one, other = both()
    assert [len(table[0]) for table in one.tables] == [len(table[0]) for table in other.tables]
    assert one.figures() == other.figures()


def test_the_paragraphs_of_both_languages_name_the_same_code():
    one, other = (Counter(re.findall(r"`([^`\n]+)`", page.prose)) for page in both())
    assert one == other


def test_the_chinese_readme_names_mirrors_before_anything_is_downloaded():
    text = CHINESE.read_text(encoding="utf-8")
    mirrors = MIRRORS.search(text)
    assert mirrors is not None
    assert {"PIP_INDEX_URL", "HF_ENDPOINT"} <= set(re.findall(r"export (\w+)=https://", mirrors[1]))
    assert mirrors.start() < text.index("$ git clone") < text.index("$ pip install")


def test_readme_is_short_and_names_the_task_the_framework_and_the_licence_first():
    text = ENGLISH.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert {"semantic segmentation", "PyTorch", "Apache-2.0"} <= set(
        re.findall(r"semantic segmentation|PyTorch|Apache-2\.0", text.partition("## ")[0])
    )


def test_readme_shows_every_command():
    shown = set(re.findall(r"`segzoo (\w+)", Page(ENGLISH).prose))
    assert shown == set(command.list_commands(click.Context(command))) - ELSEWHERE


def test_every_library_in_readme_is_on_the_page_of_the_comparison():
    page = Page(ROOT / "docs/start/comparison.md")
    table = next(table for table in Page(ENGLISH).tables if table[0][1] == "licence")
    names = [re.sub(r"\[([^]]*)\].*", r"\1", row[0]) for row in table[2:]]
    assert len(names) == 7
    for table in page.tables[1:]:
        assert [row[0] for row in table[2:]] == names


def test_every_ratio_of_the_page_on_other_programs_is_that_of_its_figures():
    tables = Page(ROOT / "docs/coming-from/index.md").tables
    table = next(table for table in tables if table[0][-1] == "script")
    assert len(table) == 11
    for _, there, here, ratio, script in table[2:]:
        assert (ROOT / "benchmarks" / script.strip("`")).is_file()
        (new,) = re.findall(r"^[\d.]+", here)
        old = re.findall(r"(?:^|; )([\d.]+)", there)
        for before, said in zip(old, re.findall(r"(\d[\d.]*)x", ratio), strict=True):
            one, other = float(before), float(new)
            assert max(one / other, other / one) == pytest.approx(float(said), rel=0.04)


def test_the_speed_in_readme_is_that_of_the_page_on_other_programs():
    tables = Page(ROOT / "docs/coming-from/index.md").tables
    rows = next(table for table in tables if table[0][-1] == "script")
    measured = [row[3].removesuffix("x") for row in rows if row[-1] == "`photos.py`"]
    for page in both():
        line = next(line for line in page.text.splitlines() if "`fastest`" in line)
        assert re.findall(r"\d\.\d", line) == measured


@pytest.mark.parametrize("name", readme.FILES)
def test_the_table_of_bundled_weights_is_what_the_registry_says(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert all(mark in text for mark in readme.MARKS)
    assert name not in readme.write(check=True), "python docs/_ext/zoo_readme.py --write"


def test_the_mean_of_five_folds_is_told_where_the_weights_were_made():
    made = (ROOT / "plugins/segzoo-medical/README.md").read_text(encoding="utf-8")
    assert "| cell | 0.945 |" in made
    assert "| membrane | 0.791 |" in made


@pytest.mark.medium
def test_the_pictures_are_what_the_bundled_weights_compute():
    compute = runpy.run_path(str(ROOT / "docs/images/compute.py"))
    for file, picture in compute["pictures"]().items():
        # Another processor may turn a pixel on an edge, and round a tint another way.
        limit = 0.002 if file.endswith("_mask.png") else 0.02
        assert compute["difference"](file, picture) <= limit, f"{file}: run docs/images/compute.py"


@pytest.mark.medium
def test_readme_has_one_picture_with_a_column_for_each_domain():
    domains = runpy.run_path(str(ROOT / "docs/images/domains.py"))
    assert [file for _, file in Page(ENGLISH).images] == ["docs/images/domains.jpg"]
    assert domains["same"](1), "run docs/images/domains.py"


@pytest.mark.slow
def test_every_column_of_the_picture_is_what_the_bundled_weights_compute():
    domains = runpy.run_path(str(ROOT / "docs/images/domains.py"))
    assert [number for number in range(len(domains["COLUMNS"])) if not domains["same"](number)] == []


@pytest.mark.slow
def test_the_python_of_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / "docs/images/tissue.png", "cells.png")
    names = {"images": torch.rand(1, 3, 33, 40, device="meta"), "torch": torch}
    source = ast.parse((ROOT / "hubconf.py").read_text(encoding="utf-8"))
    entries = {node.name: node for node in source.body if isinstance(node, ast.FunctionDef)}
    for block in Page(ENGLISH).blocks("python"):
        hub = re.search(r'torch\.hub\.load\("org/segzoo", "(\w+)", (\w+)=', block)
        if hub:
            # The network would be needed: the entry point is there, and takes what it is given.
            assert hub[2] in {argument.arg for argument in entries[hub[1]].args.args}
        else:
            # Networks of random weights are built of shapes alone, in no time.
            shapes = torch.device("meta") if "segzoo.create(" in block else contextlib.nullcontext()
            with shapes:
                exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "overlay.png").is_file()
    assert names["logits"].shape == (1, 21, 33, 40)
