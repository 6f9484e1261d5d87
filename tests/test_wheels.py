"""Wheels and sdists of segzoo and its plug-ins, built and installed into a fresh environment."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest
from conftest import PLUGINS, ROOT
from made_once import made_once
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from email.message import Message
    from pathlib import Path

    from conftest import Run

pytestmark = pytest.mark.slow
PACKAGES = [ROOT, *sorted(ROOT.glob("plugins/segzoo-*"))]


def build(folder: Path, out: Path, *kinds: str) -> None:
    """Build what ``pip`` and ``python -m build`` would, of a source tree."""
    chosen = [word for kind in kinds for word in ("--target", kind)]
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out), *chosen]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of every package."""

    def make(out: Path) -> None:
        for package in PACKAGES:
            build(package, out, "sdist", "wheel")

    return made_once(tmp_path_factory, "built", make)


@pytest.fixture(scope="module")
def sdists(built: Path) -> list[Path]:
    return sorted(built.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheels(sdists: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels that come out of the sdists, which those get whose pip takes an sdist."""
    sources = tmp_path_factory.mktemp("sources")

    def make(out: Path) -> None:
        for sdist in sdists:
            with tarfile.open(sdist) as archive:
                archive.extractall(sources, filter="data")
            build(sources / sdist.name.removesuffix(".tar.gz"), out, "wheel")

    return sorted(made_once(tmp_path_factory, "wheels", make).glob("*.whl"))


def metadata(wheel: Path) -> Message:
    """What the index shows of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


@pytest.fixture
def environment(
    tmp_path: Path, bare_site: Path, wheels: list[Path]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program of a fresh environment that holds the dependencies and the wheels."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for entry in bare_site.iterdir():
        (packages / entry.name).symlink_to(entry.resolve())
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels)]
    subprocess.run(install, check=True, capture_output=True)

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command: Sequence[str] = [str(folder / "bin" / program), *arguments]
        if program == "pip":
            command = [*pip, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_every_wheel_is_typed_and_carries_its_licence(wheels):
    assert len(wheels) == len(PACKAGES)
    for wheel in wheels:
        names = zipfile.ZipFile(wheel).namelist()
        assert any(name.endswith("/py.typed") for name in names), wheel.name
        assert any(name.endswith("/LICENSE") for name in names), wheel.name
        assert not any("/test_" in name for name in names), wheel.name


def test_a_wheel_is_the_same_whether_built_from_the_repository_or_the_sdist(
    built: Path, wheels: list[Path]
) -> None:
    direct = sorted(built.glob("*.whl"))
    assert [wheel.name for wheel in direct] == [wheel.name for wheel in wheels]
    for one, other in zip(direct, wheels, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_every_sdist_holds_tests_licence_and_readme_and_nothing_of_this_machine(sdists: list[Path]) -> None:
    assert len(sdists) == len(PACKAGES)
    for sdist in sdists:
        with tarfile.open(sdist) as archive:
            names = [member.name.partition("/")[2] for member in archive.getmembers()]
        assert {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"} <= set(names), sdist.name
        assert any(name.startswith("tests/test_") for name in names), sdist.name
        assert not [name for name in names if ".venv" in name or "__pycache__" in name], sdist.name


def test_every_package_is_described_for_the_index(wheels: list[Path]) -> None:
    for wheel in wheels:
        told = metadata(wheel)
        name, version = wheel.name.split("-")[:2]
        assert (told["Name"].replace("-", "_"), told["Version"]) == (name, version)
        assert told["License-Expression"] == "Apache-2.0"
        assert told["Requires-Python"] == ">=3.11"
        assert told["Summary"]
        assert told["Description-Content-Type"] == "text/markdown"
        page = MarkdownIt().render(told.get_payload())
        assert page.startswith("<h1>"), name


def test_segzoo_s_wheel_holds_what_new_plugins_are_written_from(wheels):
    (own,) = (wheel for wheel in wheels if wheel.name.startswith("segmentation_zoo-"))
    files = (path for path in (ROOT / "segzoo/scaffold/templates").rglob("*") if path.is_file())
    wanted = {path.relative_to(ROOT).as_posix() for path in files}
    assert wanted
    assert wanted <= set(zipfile.ZipFile(own).namelist())


def test_installed_wheels_list_predict_and_go_away(environment, tmp_path):
    records = json.loads(environment("segzoo", "plugins", "--json").stdout)
    assert {record["status"] for record in records} == {"ok"}
    assert {record["distribution"] for record in records} == {"segzoo", *(p.name for p in PLUGINS)}

    picture = ROOT / "docs/images/nuclei.png"
    done = environment("segzoo", "predict", str(picture), "--model", "unet-nuclei", "--out", "masks")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "masks/nuclei_overlay.png").exists()

    make = "import segzoo; segzoo.save(segzoo.create('nested', num_classes=1, width=2), 'kept')"
    assert environment("python", "-c", make).returncode == 0
    assert environment("pip", "uninstall", "--quiet", "--yes", "segzoo-nested").returncode == 0
    assert "nested" not in environment("segzoo", "list", "decoders").stdout
    gone = environment("segzoo", "predict", str(picture), "--model", "kept", "--out", "new")
    assert gone.returncode == 2
    assert "pip install" in gone.stderr
    assert "segzoo-nested" in gone.stderr
    assert "Traceback" not in gone.stderr


ALONE = """
import json, sys
from segzoo import zoo

found = {record.distribution: record.status for record in zoo.plugins}
for _, entry in zoo.models.items():
    zoo.find_model(entry.full_name)
for _, entry in zoo.weights.items():
    # Without classes they are an encoder's alone; and what is said to be timm's, only timm can find.
    if entry.spec.classes and "/timm:" not in entry.spec.model:
        zoo.find_model(entry.spec.model)
print(json.dumps({"found": found, "heavy": sorted({"torch", "numpy", "PIL"} & set(sys.modules))}))
"""


@pytest.mark.parametrize("name", [package.name for package in PLUGINS])
def test_each_wheel_of_ours_is_enough_beside_segzoo_s(
    wheels: list[Path], bare_python: Run, tmp_path: Path, name: str
) -> None:
    # What its models and weights name must come from itself, from segzoo, or from a plug-in of ours that it
    # requires; and it is light to list.
    required = tomllib.loads((ROOT / "plugins" / name / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    ours = {name, *(re.split(r"[<>=]", one)[0] for one in required if one.startswith("segzoo-"))}
    starts = tuple(f"{one.replace('-', '_')}-" for one in (*ours, "segmentation-zoo"))
    wanted = [wheel for wheel in wheels if wheel.name.startswith(starts)]
    assert len(wanted) == len(starts)
    for wheel in wanted:
        zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    done = bare_python("-c", ALONE, PYTHONPATH=str(tmp_path / "installed"))
    assert done.returncode == 0, done.stderr
    found = {"segzoo": "ok", **dict.fromkeys(ours, "ok")}
    assert json.loads(done.stdout) == {"found": found, "heavy": []}
