"""README.md and README.zh-CN.md say the same, with pictures and figures that are so."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import re
import shutil
from collections import Counter

import pytest
import torch
from first_pages import ENGLISH, FENCE, READMES, ROOT, Page


def test_the_languages_of_readme_lead_to_one_another():
    for one, other in (READMES, READMES[::-1]):
        top = "\n".join(Page(one).text.splitlines()[:4])
        assert f"]({other.name})" in top, f"{one.name} does not begin with a link to {other.name}"


def test_the_languages_of_readme_have_the_same_headings_code_pictures_and_links():
    one, other = map(Page, READMES)
    levels = [[len(mark) for mark in re.findall(r"^(#+) ", page.prose, re.M)] for page in (one, other)]
    assert levels[0] == levels[1]
    assert FENCE.findall(one.text) == FENCE.findall(other.text)
    assert [file for _, file in one.images] == [file for _, file in other.images]
    assert one.links == other.links


def test_the_tables_of_both_languages_have_the_same_rows_and_figures():
    one, other = map(Page, READMES)
    assert [len(table[0]) for table in one.tables] == [len(table[0]) for table in other.tables]
    assert one.figures() == other.figures()


def test_the_paragraphs_of_both_languages_name_the_same_code():
    one, other = (Counter(re.findall(r"`([^`\n]+)`", Page(path).prose)) for path in READMES)
    assert one == other


def test_what_people_gain_and_type_is_told_alike_in_readme_and_docs():
    def rows(path):
        return {tuple(row[1:]) for table in Page(path).tables for row in table}

    told = rows(ROOT / "docs/coming-from/index.md")
    gains = {row for row in rows(ENGLISH) if row[-1].endswith(".py`")}
    typed = {row for row in rows(ENGLISH) if re.match(r"`segzoo[ .]", row[-1])}
    assert len(gains) == 9
    assert len(typed) == 9
    assert (gains | typed) - told == set()


def test_every_ratio_is_that_of_the_figures_beside_it():
    table = next(table for table in Page(ENGLISH).tables if table[0][-1] == "script")
    for _, there, here, ratio, script in table[2:]:
        assert (ROOT / "benchmarks" / script.strip("`")).is_file()
        (new,) = re.findall(r"^[\d.]+", here)
        old = re.findall(r"(?:^|; )([\d.]+)", there)
        for before, said in zip(old, re.findall(r"(\d[\d.]*)x", ratio), strict=True):
            one, other = float(before), float(new)
            assert max(one / other, other / one) == pytest.approx(float(said), rel=0.04)


def test_the_scores_of_weights_that_ship_are_those_of_the_table():
    page = Page(ENGLISH)
    paragraph = next(
        part for part in page.prose.split("\n\n") if part.startswith("Five sets of weights ship")
    )
    table = next(table for table in page.tables if table[0][0] == "weights")
    for name in ("unet-nuclei", "unet-nuclei-1", "nested-nuclei"):
        measured = next(" ".join(row) for row in table if row[0] == f"`{name}`")
        told = re.findall(r"0\.\d{3}", paragraph.partition(f"`{name}`")[2])[:2]
        assert re.findall(r"0\.\d{3}", measured)[:2] == told
    # Of five folds, which no table of single weights has: where they were made, they are told.
    made = (ROOT / "plugins/segzoo-medical/README.md").read_text(encoding="utf-8")
    assert "| cell | 0.945 |" in made
    assert "| membrane | 0.791 |" in made


def test_the_pictures_are_what_the_weights_that_ship_compute():
    spec = importlib.util.spec_from_file_location("compute", ROOT / "docs/images/compute.py")
    assert spec is not None
    assert spec.loader is not None
    compute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compute)
    shown = {file for _, file in Page(ENGLISH).images}
    assert shown == {
        f"docs/images/{name}{kind}.png" for name in compute.NAMES for kind in ("", "_mask", "_overlay")
    }
    for file, picture in compute.pictures("tissue").items():
        # Another processor may turn a pixel on an edge, and round a tint another way.
        limit = 0.002 if file.endswith("_mask.png") else 0.02
        assert compute.difference(file, picture) <= limit, f"{file}: run docs/images/compute.py"


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
