"""docs/plugins says all that authors need, says it as the source has it, and its examples run.

``python tests/test_docs_plugins.py --write`` writes the tables of the pages anew.
"""

from __future__ import annotations

import argparse
import ast
import re
import runpy
import shlex
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from api_source import fields, public_names
from conftest import ROOT
from docs_pages import (
    COMMAND,
    DOCS,
    PUBLIC,
    blocks,
    commands_in,
    example,
    first_column,
    marks,
    pages,
    promises,
    rendered,
    text_of,
)
from test_plugins_public import private
from test_public_api import commands, variables

from segzoo import zoo
from segzoo.cli import run
from segzoo.errors import PluginError
from segzoo.plugins import HOOKS, SPEC_TYPES, Status
from segzoo.registry import plural
from segzoo.testing import check_metric, every_check

if TYPE_CHECKING:
    from conftest import Site

KINDS = [spec_type.kind for spec_type in SPEC_TYPES]
SHOWN = [page.name for page in pages()]

#: What tells people to type commands: these pages, and what is read beside them.
TELLING = [
    *pages(),
    ROOT / "README.md",
    *ROOT.glob("plugins/*/README.md"),
    *ROOT.glob("plugins/template/*/README.md"),
]

#: Plain data that specs hold, and where each is described.
NESTED = {
    "Labels": "plain-data.md",
    "Preprocessing": "plain-data.md",
    "Intensity": "plain-data.md",
    "BandStatistics": "plain-data.md",
    "Resize": "plain-data.md",
    "Separator": "plain-data.md",
    "Pretraining": "encoders.md",
    "Archive": "datasets.md",
    "Recognition": "datasets.md",
}
PROTOCOLS = {
    "Encoder": "encoders.md",
    "Decoder": "decoders.md",
    "Split": "decoders.md",
    "Dataset": "datasets.md",
    "Metric": "metrics.md",
    "Augmentation": "augmentations.md",
    "Mixing": "augmentations.md",
    "Schedule": "schedules.md",
    "Planner": "recipes.md",
    "ImageReader": "readers.md",
    "OpenedImage": "readers.md",
    "Engine": "engines.md",
    "Cluster": "clusters.md",
}

#: Examples that take a moment; what comes of the others is seen at once.
FAST = ("api.md", "metrics.md")
EXAMPLES = [
    page if page in FAST else pytest.param(page, marks=pytest.mark.slow) for page in SHOWN if example(page)
]


def page_of(kind: str) -> str:
    return f"{plural(kind)}.md"


@pytest.mark.parametrize("page", SHOWN)
def test_the_tables_of_a_page_are_those_of_the_source(page: str) -> None:
    assert text_of(page) == rendered(text_of(page)), f"docs/plugins/{page} is behind the source: `{COMMAND}`"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_page_with_an_example(hook: str) -> None:
    page = f"{hook.removeprefix('segzoo_')}.md"
    assert page in SHOWN, f"write docs/plugins/{page} about the hook {hook}()"
    assert f"<!-- hook {hook} -->" in text_of(page), (
        f"docs/plugins/{page}: add <!-- hook {hook} --> and <!-- end -->"
    )
    shown = "\n".join(block.text for block in example(page))
    assert f"def {hook}(" in shown, f"docs/plugins/{page}: no example implements {hook}()"


def test_every_spec_and_what_it_holds_has_its_table_of_fields() -> None:
    there = {(page.name, subject) for page, kind, subject in marks() if kind == "fields"}
    wanted = {(page_of(spec_type.kind), f"segzoo.specs.{spec_type.__name__}") for spec_type in SPEC_TYPES}
    wanted |= {(page, f"segzoo.specs.{name}") for name, page in NESTED.items()}
    wanted |= {("datasets.md", "segzoo.interfaces.Sample"), ("recipes.md", "segzoo.training.Recipe")}
    missing = [f"docs/plugins/{page}: <!-- fields {name} -->" for page, name in sorted(wanted - there)]
    assert missing == []
    described = {spec_type.__name__ for spec_type in SPEC_TYPES} | set(NESTED) | {"Spec", "PartSpec"}
    classes = {name for name in public_names("segzoo.specs") if re.match(r"[A-Z][a-z]", name)}
    assert classes == described, "segzoo.specs has a class that no page describes: name it in NESTED here"


def test_every_field_has_a_meaning_in_its_docstring() -> None:
    paths = {subject for _, kind, subject in marks() if kind == "fields"}
    silent = [f"{path}.{one.name}" for path in sorted(paths) for one in fields(path) if not one.meaning]
    assert silent == [], "say in the Attributes of the class's docstring what each of these is"


def test_every_protocol_is_on_the_page_of_its_kind() -> None:
    there = {(subject, page.name) for page, kind, subject in marks() if kind == "protocol"}
    assert there == {(f"segzoo.interfaces.{name}", page) for name, page in PROTOCOLS.items()}
    known = {*PROTOCOLS, "Sample", "Progress", "ImageInfo", "GeoReference", "Remark"}
    assert set(public_names("segzoo.interfaces")) == known, "segzoo.interfaces has what no page describes"


@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_of_a_kind_is_on_its_page(kind: str) -> None:
    page = page_of(kind)
    said = first_column(text_of(page), "What is checked")
    assert said == promises(kind), f"docs/plugins/{page}: mend the table under 'What is checked'"


def test_every_check_is_on_the_page_of_testing() -> None:
    assert ("testing.md", "checks") in {(page.name, kind) for page, kind, _ in marks()}
    text = text_of("testing.md")
    missing = [name for name in public_names("segzoo.testing") if f"`{name}" not in text]
    assert missing == [], "docs/plugins/testing.md"


def test_every_status_of_a_plugin_is_explained() -> None:
    said = first_column(text_of("loading.md"), "Status of a plug-in")
    assert said == set(get_args(Status)), (
        "docs/plugins/loading.md: mend the table under 'Status of a plug-in'"
    )


def test_every_environment_variable_is_explained() -> None:
    said = first_column(text_of("loading.md"), "Environment variables")
    assert said == set(variables()), "docs/plugins/loading.md: mend the table under 'Environment variables'"


def test_the_list_of_public_modules_is_the_one_that_plugins_are_held_to() -> None:
    said = first_column(text_of("compatibility.md"), "What a plug-in may import")
    assert said == set(PUBLIC), "docs/plugins/compatibility.md"


def trouble(line: str) -> str:
    """Return what is wrong with a command that people are told to type, if anything."""
    known = dict(commands())
    words = re.sub(r"[\[\]|]|\.\.\.", " ", line).split()
    path = "segzoo"
    for word in words[1:3]:
        path = f"{path} {word}" if f"{path} {word}" in known else path
    if path == "segzoo" and len(words) > 1 and words[1][0].islower():
        return "there is no such command"
    options = {name for one in known[path].params for name in (*one.opts, *one.secondary_opts)}
    asked = {word.partition("=")[0] for word in words if word.startswith("-") and word.strip("-")}
    strange = ", ".join(sorted(asked - options - {"--help", "-h"}))
    return f"`{path}` has no {strange}" if strange else ""


@pytest.mark.parametrize("file", TELLING, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_command_that_people_are_told_exists_with_its_options(file: Path) -> None:
    lines = sorted(commands_in(file.read_text(encoding="utf-8")))
    assert {line: trouble(line) for line in lines if trouble(line)} == {}, file.relative_to(ROOT)


def test_a_command_that_is_not_there_is_found() -> None:
    assert trouble("segzoo plugins check DIST --json") == ""
    assert trouble("segzoo convert a.pth --layout x") == "`segzoo convert` has no --layout"
    assert trouble("segzoo trian x") == "there is no such command"


@pytest.mark.parametrize("page", SHOWN)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = (DOCS / file).resolve() if file else DOCS / page
        assert there.exists(), f"docs/plugins/{page}: {target} leads nowhere"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            known = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            assert anchor in known, f"docs/plugins/{page}: {file or page} has no heading {anchor}"


def test_the_index_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", text_of("index.md")))
    assert linked == set(SHOWN) - {"index.md"}, "docs/plugins/index.md"
    assert "plugins/index.md" in (ROOT / "docs/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", SHOWN)
def test_every_python_block_of_a_page_is_python(page: str) -> None:
    for block in blocks(text_of(page)):
        if block.language == "python":
            ast.parse(block.text, filename=f"docs/plugins/{page}")


def installed(page: str, site: Site) -> str:
    """Install the plug-in of a page's example, and return its distribution."""
    files = {block.file: block.text for block in example(page) if "/" in block.file}
    package = Path(next(iter(files))).parts[0]
    distribution = package.replace("_", "-")
    for name, text in files.items():
        file = site.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    info = site.folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8"
    )
    points = f"[segzoo.plugins]\n{package.removeprefix('segzoo_')} = {package}\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    zoo.refresh()
    return distribution


@pytest.mark.parametrize("page", [page for page in SHOWN if example(page)])
def test_an_example_imports_only_what_is_public(page: str, site: Site) -> None:
    distribution = installed(page, site)
    assert private(site.folder / distribution.replace("-", "_")) == [], f"docs/plugins/{page}"


@pytest.mark.parametrize("page", EXAMPLES)
def test_a_page_s_example_runs_and_keeps_its_promises(
    page: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution = installed(page, site)
    monkeypatch.setenv("SEGZOO_PLUGINS", distribution)
    zoo.refresh()
    monkeypatch.chdir(tmp_path)
    for block in example(page):
        if block.file == "use.py":
            (tmp_path / "use.py").write_text(block.text, encoding="utf-8")
            runpy.run_path("use.py", run_name="__main__")
        elif block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    assert run(shlex.split(line)[2:]) == 0, f"docs/plugins/{page}: {line}"
    if page != "api.md":
        for check in every_check(distribution):
            # Export takes longer than all others together; the tests of our own plug-ins have it.
            if check.promise != "export":
                check.run()


def test_an_example_that_went_wrong_would_be_seen(site: Site) -> None:
    distribution = installed("metrics.md", site)
    module = site.folder / "segzoo_errors/rate.py"
    module.write_text(module.read_text(encoding="utf-8").replace("!= image.target", "== image.target"))
    with pytest.raises(PluginError, match="perfect"):
        check_metric(f"{distribution}:error-rate")


def test_pages_are_prose_too() -> None:
    for page in pages():
        before = list(takewhile(lambda line: not line.startswith("## "), page.read_text().splitlines()))
        assert sum(len(line.split()) for line in before) > 20, f"{page.name}: say first what it is for"


def main() -> None:
    """Write the tables of every page anew."""
    parser = argparse.ArgumentParser(description="write the tables of docs/plugins anew")
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    for page in pages():
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
