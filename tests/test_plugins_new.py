"""``segzoo plugins new``: what it writes is what plugins/template shows, and works as it is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT

from segzoo import cli, zoo
from segzoo.discovery import in_folder
from segzoo.scaffold import KINDS, naming, render

if TYPE_CHECKING:
    from conftest import Site

TEMPLATE = ROOT / "plugins/template"


@pytest.mark.parametrize("kind", KINDS)
def test_plugins_template_is_what_the_command_writes(kind: str) -> None:
    there = {
        path.relative_to(TEMPLATE / kind).as_posix(): path.read_bytes()
        for path in (TEMPLATE / kind).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there == render(naming("template"), kind), "run `make template` to write plugins/template anew"


def test_plugins_template_holds_every_kind_and_nothing_else() -> None:
    assert {path.name for path in TEMPLATE.iterdir() if (path / "pyproject.toml").exists()} == set(KINDS)


def test_a_clone_does_not_take_its_templates_for_plugins() -> None:
    found = {candidate.distribution for candidate in in_folder(ROOT / "plugins")}
    assert "segzoo-nested" in found
    assert not {name for name in found if "template" in name}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_s_specs_take_at_most_fifteen_lines(kind: str) -> None:
    names = naming("mine")
    tree = ast.parse(render(names, kind)[f"src/{names.package}/__init__.py"])
    hook = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name != "segzoo_api")
    assert hook.end_lineno is not None
    # The decorator's line counts, too.
    assert hook.end_lineno - hook.lineno + 2 <= 15


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that sees what is installed here, too."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    here = sysconfig.get_path("purelib")
    (packages / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return folder / "bin/python"


@pytest.fixture(scope="module")
def tried(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Write a package of every kind, install all, run the tests of all; return the failures of each kind."""
    folder = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        assert cli.run(["plugins", "new", f"my-{kind}", "--kind", kind, "--dir", str(folder)]) == 0
    written = [str(folder / f"segzoo-my-{kind}") for kind in KINDS]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
    editable = [word for path in written for word in ("--editable", path)]
    plain = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *plain, *editable], check=True, capture_output=True)
    report = folder / "report.xml"
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *written]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    failures: dict[str, list[str]] = {}
    for case in ET.parse(report).iter("testcase"):
        kind = case.get("classname", "").rpartition("test_my_")[2]
        failures.setdefault(kind, []).extend(str(one.get("message")) for one in case)
    return failures


@pytest.mark.slow
def test_what_is_written_installs_passes_its_own_tests_and_is_light_to_list(
    tried: dict[str, list[str]], python: Path
) -> None:
    assert tried == {kind: [] for kind in KINDS}
    code = (
        "import sys, json; from segzoo import zoo\n"
        "print(json.dumps([{r.distribution: r.status for r in zoo.plugins}, 'torch' in sys.modules]))"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    statuses, heavy = json.loads(done.stdout)
    assert {statuses[f"segzoo-my-{kind}"] for kind in KINDS} == {"ok"}
    assert not heavy


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("mine", ("segzoo-mine", "segzoo_mine", "mine")),
        ("segzoo-mine", ("segzoo-mine", "segzoo_mine", "mine")),
        ("Segzoo_My.Net", ("segzoo-my-net", "segzoo_my_net", "my-net")),
        ("3d", ("segzoo-3d", "segzoo_3d", "3d")),
        ("class", ("segzoo-class", "segzoo_class", "class")),
    ],
)
def test_a_name_is_brought_to_the_form_of_distributions(given: str, names: tuple[str, str, str]) -> None:
    found = naming(given)
    assert (found.distribution, found.package, found.name) == names


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["3d", "class", "a" * 40])
def test_whatever_the_name_the_code_is_valid(kind: str, name: str) -> None:
    for path, content in render(naming(name), kind).items():
        if path.endswith(".py"):
            compile(content, path, "exec")


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.run(["plugins", "new", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("my net", "decoder", "'my net' cannot name a package"),
        ("-net", "decoder", "no such option"),
        ("../net", "decoder", "cannot name a package"),
        ("käse", "decoder", "cannot name a package"),
        ("", "decoder", "'NAME': the word is empty"),
        ("a" * 41, "decoder", "the maximum is 40"),
        ("segzoo", "decoder", "a part of segzoo"),
        ("timm", "encoder", "a part of segzoo"),
        ("unet", "decoder", "segzoo already has a decoder named 'unet'"),
        ("vgg", "encoder", "segzoo already has an encoder named 'vgg'"),
        ("unet", "weights", "segzoo already has a model named 'unet'"),
        ("nested", "dataset", "segzoo-nested is installed already"),
        ("mine", "decodr", "'decodr' is not one of 'encoder', 'decoder', 'model'"),
    ],
)
def test_a_name_or_kind_that_cannot_be_is_refused(
    name: str, kind: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(name, "--kind", kind, "--dir", str(tmp_path), capsys=capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "segzoo-mine").mkdir()
    (tmp_path / "segzoo-mine/notes.txt").write_text("keep")
    told = refused("mine", "--kind", "loss", "--dir", str(tmp_path), capsys=capsys)
    assert "segzoo-mine exists already" in told
    assert [path.name for path in tmp_path.rglob("*")] == ["segzoo-mine", "notes.txt"]


def test_an_empty_folder_is_filled_and_the_next_steps_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deep/segzoo-mine").mkdir(parents=True)
    assert cli.run(["plugins", "new", "mine", "--kind", "loss", "--dir", str(tmp_path / "deep")]) == 0
    out, err = capsys.readouterr()
    assert all(Path(line).is_file() for line in out.splitlines())
    assert "pip install --editable" in err
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["segzoo-mine"]


def test_what_is_written_is_found_as_a_source_tree(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = tmp_path / "trees"
    assert cli.run(["plugins", "new", "mine", "--kind", "loss", "--dir", str(trees)]) == 0
    monkeypatch.setattr(zoo, "_folders", [])
    zoo.add_folder(trees)
    assert zoo.losses.entry("mine").owner == "segzoo-mine"
