"""Wheels of segzoo and its plug-ins, built and installed into a fresh environment."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from conftest import Run

pytestmark = pytest.mark.slow
PACKAGES = [ROOT, *sorted(ROOT.glob("plugins/segzoo-*"))]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("wheels")
    for package in PACKAGES:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
        subprocess.run([*command, str(package)], check=True, capture_output=True)
    return sorted(out.glob("*.whl"))


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


def test_segzoo_s_wheel_holds_what_new_plugins_are_written_from(wheels):
    (own,) = (wheel for wheel in wheels if wheel.name.startswith("segzoo-"))
    files = (path for path in (ROOT / "segzoo/scaffold/templates").rglob("*") if path.is_file())
    wanted = {path.relative_to(ROOT).as_posix() for path in files}
    assert wanted
    assert wanted <= set(zipfile.ZipFile(own).namelist())


def test_installed_wheels_list_predict_and_go_away(environment, tmp_path):
    records = json.loads(environment("segzoo", "plugins", "--json").stdout)
    assert {record["status"] for record in records} == {"ok"}
    assert {record["distribution"] for record in records} == {"segzoo", *(p.name for p in PACKAGES[1:])}

    picture = ROOT / "docs/images/nuclei.png"
    done = environment("segzoo", "predict", str(picture), "--model", "unet-nuclei", "--out", "masks")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "masks/nuclei_overlay.png").exists()

    make = "import segzoo; segzoo.save(segzoo.create('nested', num_classes=1, width=2), 'kept')"
    assert environment("python", "-c", make).returncode == 0
    assert environment("pip", "uninstall", "--quiet", "--yes", "segzoo-nested").returncode == 0
    assert "nested" not in environment("segzoo", "list", "decoders").stdout
    gone = environment("segzoo", "predict", str(picture), "--model", "kept")
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
    if entry.spec.classes:  # else they are an encoder's alone
        zoo.find_model(entry.spec.model)
print(json.dumps({"found": found, "heavy": sorted({"torch", "numpy", "PIL"} & set(sys.modules))}))
"""


@pytest.mark.parametrize("name", [package.name for package in PACKAGES[1:]])
def test_each_wheel_of_ours_is_enough_beside_segzoo_s(
    wheels: list[Path], bare_python: Run, tmp_path: Path, name: str
) -> None:
    # What its models and weights name must come from itself or from segzoo; and it is light to list.
    wanted = [w for w in wheels if w.name.startswith((f"{name.replace('-', '_')}-", "segzoo-"))]
    assert len(wanted) == 2
    for wheel in wanted:
        zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    done = bare_python("-c", ALONE, PYTHONPATH=str(tmp_path / "installed"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"found": {"segzoo": "ok", name: "ok"}, "heavy": []}
