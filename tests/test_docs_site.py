"""The site is built without a warning, the network or extras, and none of its links leads nowhere."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import tomllib
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from conftest import ROOT
from site_build import DOCS, build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Packages that an extra of segzoo's brings, by the name that Python imports.
MODULES = {"scikit-image": "skimage", "tensorboard": "tensorboard", "tifffile": "tifffile"}

#: Pages of the reference whose code asks for an extra when it is used.
NEEDING = (
    *("cli", "files", "recipe-keys"),
    *("api/evaluation", "api/images", "api/metrics", "api/prediction", "api/training"),
)

#: Keeps Python from finding what is named in BLOCKED.
BLOCK = """
import os
from importlib.machinery import PathFinder

blocked, found = set(os.environ["BLOCKED"].split(",")), PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in blocked else found(name, path, target)

# An instance is asked too, by dill.
PathFinder.find_spec = staticmethod(find_spec)
"""


def pages(site: Path) -> dict[str, str]:
    """Return the text of every page by its path in the site; of listings of source code none."""
    files = sorted(site.rglob("*.html"))
    found = {file.relative_to(site).as_posix(): file.read_text(encoding="utf-8") for file in files}
    return {name: text for name, text in found.items() if not name.startswith("_")}


def tags(text: str, name: str) -> Iterator[dict[str, str]]:
    """Yield the attributes of every tag of a name."""
    for inside in re.findall(rf"<{name}\b([^>]*)>", text):
        yield {key: unescape(value) for key, value in re.findall(r"([\w-]+)=\"([^\"]*)\"", inside)}


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(docs_site: Path) -> None:
    assert (docs_site / "index.html").is_file()
    for section in ("start", "zoo", "guides", "prediction", "training", "plugins", "reference", "design"):
        assert (docs_site / section / "index.html").is_file()


@pytest.mark.slow
def test_every_link_leads_to_a_page_and_a_place_in_it(docs_site: Path) -> None:
    texts = pages(docs_site)
    anchors = {name: set(re.findall(r"\bid=\"([^\"]+)\"", text)) for name, text in texts.items()}
    broken, seen = [], 0
    for name, text in texts.items():
        for tag in tags(text, "a"):
            target, _, anchor = unquote(tag.get("href", "")).partition("#")
            if re.match(r"\w+:", target):
                continue
            there = (docs_site / name).parent.joinpath(target).resolve() if target else docs_site / name
            seen += 1
            place = there.relative_to(docs_site.resolve()).as_posix() if there.is_file() else ""
            known = anchors.get(place)
            if not place or (anchor and known is not None and anchor not in known):
                broken.append(f"{name}: {tag['href']}")
    assert seen > 1000
    assert sorted(set(broken)) == []


@pytest.mark.slow
def test_every_picture_is_there_and_says_what_it_shows(docs_site: Path) -> None:
    wrong, seen = [], 0
    for name, text in pages(docs_site).items():
        for tag in tags(text, "img"):
            seen += 1
            source = tag.get("src", "")
            is_there = (
                source.startswith("data:") or (docs_site / name).parent.joinpath(unquote(source)).is_file()
            )
            alt = tag.get("alt", "").strip()
            # Sphinx writes the file's name where nobody said anything.
            if not is_there or not alt or alt == source.rpartition("/")[2] or "/" in alt.split()[0]:
                wrong.append(f"{name}: {source} alt={alt!r}")
    assert seen > 20
    assert wrong == []


@pytest.mark.slow
def test_a_page_asks_nothing_of_another_server(docs_site: Path) -> None:
    asked = set()
    for name, text in pages(docs_site).items():
        files = [tag.get("src", "") for tag in (*tags(text, "script"), *tags(text, "img"))]
        files += [
            tag.get("href", "") for tag in tags(text, "link") if tag.get("rel") in ("stylesheet", "icon")
        ]
        asked |= {f"{name}: {file}" for file in files if re.match(r"(https?:)?//", file)}
    assert sorted(asked) == []


@pytest.mark.slow
def test_the_search_finds_names_options_and_words_without_a_server(docs_site: Path) -> None:
    text = (docs_site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    names = {one[-1] for one in index["objects"]["segzoo"]}
    assert {"create", "predict", "train", "Segmentation"} <= names
    assert {one[-1] for one in index["objects"]["segzoo-predict"]} >= {"--outputs", "--memory"}
    pages = index["docnames"]
    found = {pages[page] for page in index["terms"]["overlay"]}
    assert "start/first-mask" in found


def extras() -> set[str]:
    """Return the modules that only extras bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        re.split(r"[<>=\[]", one)[0] for many in project["optional-dependencies"].values() for one in many
    }
    return {MODULES.get(name, name) for name in wanted}


@pytest.mark.slow
def test_the_reference_is_built_where_no_extra_is_installed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in NEEDING:
        file = source / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DOCS / f"reference/{name}.md", file)
    (source / "index.md").write_text(
        "\n".join(["# segzoo", "```{toctree}", *NEEDING, "```"]), encoding="utf-8"
    )
    (tmp_path / "sitecustomize.py").write_text(BLOCK, encoding="utf-8")
    # Only the reference imports what it tells of; its links to other pages have nowhere to lead here.
    options = ["-b", "dummy", "-c", str(DOCS), "-D", "suppress_warnings=myst.xref_missing"]
    environment = {"PYTHONPATH": str(tmp_path), "BLOCKED": ",".join(sorted(extras()))}
    done = build(tmp_path / "site", *options, source=source, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_inventories_for_builds_without_a_network_are_those_of_their_lists() -> None:
    written = runpy.run_path(str(DOCS / "inventories/write.py"))
    lists = sorted((DOCS / "inventories").glob("*.txt"))
    assert {file.stem for file in lists} == {"numpy", "pillow", "python", "torch"}
    for file in lists:
        right = written["inventory"](file.read_text(encoding="utf-8"), file.stem)
        assert file.with_suffix(".inv").read_bytes() == right, "python docs/inventories/write.py"


def test_the_command_that_people_type_builds_as_the_tests_do() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = text.partition("\ndocs: ")[2].partition("\n\n")[0]
    assert all(word in recipe for word in ("$(READY)", "-W", "--keep-going", "docs dist/docs", "index.html"))
