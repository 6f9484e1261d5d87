"""The name: people install segmentation-zoo, and another program is called segzoo."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ROOT
from third_party import Environment, build

from segzoo import zoo
from segzoo.distribution import PROJECT, install_lines, namesakes, reinstall_line, requirement
from segzoo.errors import missing_extra
from segzoo.installation import installation
from segzoo.testing import every_check

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Site

#: What installs packages, up to the end of its line, command or sentence.
_INSTALLS = re.compile(r"\b(?:install|download|wheel|add|inject|uvx|pipx run|--with)\b([^`;&|\n]*)")
#: The other program, as a word of such a line, with extras and versions.
_STRANGER = re.compile(r"""(?:^|[\s"'(\[])segzoo(?:\\?\[[\w,]+\\?\]|(?=[\s"')\]<>=~!,.]|$))(?!\.\w)""")
_EXTRA_OR_VERSION = re.compile(
    r"""\bsegzoo(?:\\?\[(?:train|metrics|int8|tiff|video|wandb|zarr)|\s?[<>=~!]=\s?\d)"""
)


def complaints(line: str) -> list[str]:
    """Return what of a line would install the other program."""
    first = [re.split(r"\s#\s|: |\. | \(", rest)[0] for rest in _INSTALLS.findall(line)]
    said = [command for command in first if _STRANGER.search(command)]
    commands = said if re.search(r"\b(?:pip3?|uv|uvx|pipx|conda|mamba|poetry)\b", line) else []
    return [*commands, *_EXTRA_OR_VERSION.findall(line)]


@pytest.mark.slow
def test_no_line_of_the_repository_tells_anybody_to_install_the_other_program() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        if name == "tests/test_distribution.py" or not (ROOT / name).is_file():
            continue
        data = (ROOT / name).read_bytes()
        if b"segzoo" in data and b"\0" not in data:
            lines = data.decode("utf-8").splitlines()
            found += [f"{name}: {line.strip()}" for line in lines if complaints(line)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "$ pip install segzoo",
        "pip install segzoo segzoo-medical",
        "`python3.11 -m pip install segzoo`",
        "`pip install segzoo-voc segzoo` is",
        "pip install --upgrade 'segzoo[train]'",
        'pip download --dest wheels "segzoo[train]" segzoo-voc',
        "uv add segzoo",
        "videos need the extra `segzoo[video]`",
        'dependencies = ["segzoo>=0.1"]',
    ],
)
def test_a_line_that_installs_the_other_program_is_found(line: str) -> None:
    assert complaints(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install segzoo-medical",
        "pip uninstall --yes segzoo && pip install --force-reinstall segmentation-zoo",
        'pip install "segmentation-zoo @ git+https://github.com/org/segzoo"',
        "installing segzoo, and PyTorch with it",
        "pip install -e . && segzoo doctor",
    ],
)
def test_a_line_that_installs_something_else_is_not(line: str) -> None:
    assert not complaints(line)


def test_one_place_says_what_pip_is_told() -> None:
    assert requirement() == PROJECT == "segmentation-zoo"
    assert requirement("segzoo-voc", bounds=">=0.2") == "segzoo-voc>=0.2"
    assert str(missing_extra("videos need PyAV", "video")) == (
        "videos need PyAV: pip install 'segmentation-zoo[video]'"
    )
    assert install_lines("segzoo", "segzoo-voc")[-1] == "pip install segmentation-zoo segzoo-voc"


@pytest.mark.parametrize("name", ["unet", "unet-vgg", "unet/vgg11", "unet/segmentation-zoo:vgg11"])
def test_segzoo_s_own_parts_keep_their_prefix_and_are_found_by_the_distribution_too(name: str) -> None:
    found = zoo.find_model(f"segmentation-zoo:{name}")
    assert found.full_name.startswith("segzoo:")
    assert found.full_name == zoo.find_model(f"segzoo:{name}").full_name


def test_the_checks_of_segzoo_s_own_parts_are_found_by_either_name() -> None:
    assert [one.id for one in every_check("Segmentation_Zoo")] == [one.id for one in every_check("segzoo")]


# -- the other program beside segzoo


def note(site: Site, command: str) -> None:
    """Leave what says that a distribution called segzoo is installed."""
    site.install("segzoo", "", version="1.0.13", entry_points=f"[console_scripts]\nsegzoo = {command}\n")


def findings() -> list[tuple[str, str, str]]:
    found = installation.look().findings
    return [(one.level, one.text, one.cure) for one in found if "segzoo 1.0.13" in one.text]


def test_the_doctor_tells_another_program_from_an_earlier_installation_of_segzoo(site: Site) -> None:
    note(site, "segzoo.main:main")
    ((level, text, cure),) = findings()
    assert level == "error"
    assert f"segzoo 1.0.13 in {site.folder} is another program whose package is also called segzoo" in text
    assert cure == f"pip uninstall --yes segzoo && {reinstall_line()}"
    (entry_points,) = site.folder.glob("segzoo-1.0.13.dist-info/entry_points.txt")
    entry_points.write_text("[console_scripts]\nsegzoo = segzoo.cli:main\n")
    assert [one.own for one in namesakes() if one.version == "1.0.13"] == [True]
    ((level, text, cure),) = findings()
    assert level == "warning"
    assert "is an earlier installation of this program, which pip now calls segmentation-zoo" in text
    assert cure.startswith("pip uninstall --yes segzoo && pip install ")


def test_another_program_further_down_the_path_is_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(site, "segzoo.main:main")
    (own,) = {copy.place for copy in installation.installed()[PROJECT]}
    monkeypatch.syspath_prepend(own)
    assert [level for level, *_ in findings()] == ["warning"]


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        ({}, "--force-reinstall --no-deps segmentation-zoo"),
        ({"url": "file:///a%20b", "dir_info": {"editable": True}}, "--no-deps -e '/a b'"),
        (
            {"url": "https://host/it", "vcs_info": {"vcs": "git", "requested_revision": "v1"}},
            "--force-reinstall --no-deps git+https://host/it@v1",
        ),
        (
            {"url": "file:///w.whl", "archive_info": {}},
            "--force-reinstall --no-deps file:///w.whl",
        ),
        ([], "--force-reinstall --no-deps segmentation-zoo"),
    ],
    ids=["index", "editable", "git", "wheel", "nonsense"],
)
def test_segzoo_is_installed_anew_from_where_it_came(site: Site, origin: Any, line: str) -> None:
    site.install(PROJECT, "", entry_points="")
    (site.folder / "segmentation_zoo-1.0.dist-info/direct_url.json").write_text(json.dumps(origin))
    assert reinstall_line() == f"pip install {line}"


def stranger(folder: Path) -> Path:
    """Build a wheel of a program called segzoo, laid out as the one on PyPI is."""
    wheel = folder / "segzoo-1.0.13-py3-none-any.whl"
    info = "segzoo-1.0.13.dist-info"
    files = {
        "segzoo/__init__.py": "from .version import __version__",
        "segzoo/version.py": "__version__ = '1.0.13'\n",
        "segzoo/main.py": "def main():\n    print('genomes')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: segzoo\nVersion: 1.0.13\nSummary: Genomes\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nsegzoo = segzoo.main:main\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("wheels")
    ours = {"own": build(ROOT, out), "plugin": build(ROOT / "plugins/segzoo-steel", out)}
    return {**ours, "stranger": stranger(out)}


@pytest.fixture
def environment(tmp_path: Path, bare_site: Path) -> Environment:
    return Environment(tmp_path / "venv", bare_site)


def failure(environment: Environment, *arguments: str) -> str:
    """Return what a Python that fails says last."""
    done = environment.run("python", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr.strip().splitlines()[-1]


FINDINGS = """
from segzoo.installation import installation
for one in installation.look().findings:
    print(f"{one.level}: {one.text} -> {one.cure}")
"""
REPLACED = "segzoo 1.0.13 is another program, whose files replaced some or all of those of segmentation-zoo"
CURE = "pip uninstall --yes segzoo && pip install --force-reinstall --no-deps file://"


@pytest.mark.slow
def test_a_stranger_installed_over_segzoo_is_told_by_every_command_and_import(
    environment: Environment, wheels: dict[str, Path]
) -> None:
    environment.install(wheels["own"], wheels["plugin"])
    environment.install(wheels["stranger"])
    assert environment.run("segzoo").stdout == "genomes\n"
    for command in ("doctor", "list"):
        done = environment.run("python", "-m", "segzoo", command)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
        assert REPLACED in done.stderr
        assert CURE in done.stderr
    for code in ("from segzoo import zoo", "import segzoo_steel"):
        told = failure(environment, "-c", code)
        assert told.startswith("ImportError: ")
        assert REPLACED in told
    # Once the stranger is gone, so is a file of segzoo's; then the line that was told mends it.
    environment.pip("uninstall", "--quiet", "--yes", "segzoo")
    told = failure(environment, "-m", "segzoo", "list")
    assert re.search(
        r"has lost its __init__\.py.*: pip install --force-reinstall --no-deps file://.*segmentation_zoo",
        told,
    )
    environment.install("--force-reinstall", wheels["own"])
    assert environment.run("segzoo", "list", "models").returncode == 0


@pytest.mark.slow
def test_a_stranger_installed_before_segzoo_is_an_error_of_the_doctor_and_of_an_import_that_fails(
    environment: Environment, wheels: dict[str, Path]
) -> None:
    environment.install(wheels["stranger"], wheels["plugin"])
    done = environment.run("python", "-c", "import segzoo_steel")
    assert (
        "this package segzoo is another program's: uninstall segzoo, install segmentation-zoo" in done.stderr
    )
    environment.install(wheels["own"])
    assert environment.run("segzoo", "list", "models").returncode == 0
    found = environment.run("python", "-c", FINDINGS).stdout
    assert found.startswith("error: segzoo 1.0.13 in ")
    assert "another program whose package is also called segzoo" in found
    assert CURE in found
    (environment.packages / "segzoo/creation.py").unlink()
    told = failure(environment, "-c", "import segzoo; segzoo.create")
    assert told.startswith("ModuleNotFoundError: No module named 'segzoo.creation'; segzoo 1.0.13 is another")
