"""Fixtures: installed distributions, fresh zoos, processes, and a Python without segzoo."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest
import torch
from hypothesis import settings
from site_build import docs_site

from segzoo import zoo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
#: Our packages that are plug-ins of segzoo; one of another program, such as napari, is none.
PLUGINS = [
    file.parent
    for file in sorted(ROOT.glob("plugins/segzoo-*/pyproject.toml"))
    if '."segzoo.plugins"]' in file.read_text(encoding="utf-8")
]
# They kill, limit and type into processes in ways that Windows does not know.
UNIX = ("test_completion.py", "test_training_checkpoints.py", "test_training_crashes.py")
collect_ignore = [] if os.name == "posix" else list(UNIX)

__all__ = ["docs_site"]

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell's background job inherits that Ctrl-C is ignored, and would hand that on to what tests start.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same examples in every run, and none that fails since the machine is busy; a campaign tries many others.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("long", deadline=None, max_examples=1000)
settings.load_profile("long" if os.environ.get("SEGZOO_CAMPAIGN") == "long" else "repeatable")


class Seeded:
    """Begins every test with the same random numbers, whatever ran before it in its process."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)


def pytest_configure(config: pytest.Config) -> None:
    # A hook of this file would be called for the tests of this folder alone, and not for those of plug-ins.
    config.pluginmanager.register(Seeded())


def pytest_collection() -> None:
    """Collect no garbage while modules are imported: there is none, and looking takes a sixth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Keep imported modules out of later collections."""
    gc.freeze()
    gc.enable()


class Site:
    """A folder that holds installed distributions, as ``site-packages`` does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        distribution: str,
        code: str,
        *,
        version: str = "1.0",
        entry_points: Mapping[str, str] | str | None = None,
    ) -> str:
        """Install a distribution of one module; return the module's name.

        Args:
            distribution: its name; the module is named like it, with ``_`` for ``-``.
            code: of the module.
            version: of the distribution.
            entry_points: in the group ``segzoo.plugins``, by name; or the text of the whole file.
        """
        module = distribution.replace("-", "_").replace(".", "_").lower()
        (self.folder / f"{module}.py").write_text(dedent(code), encoding="utf-8")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8"
        )
        if not isinstance(entry_points, str):
            points = {"plugin": module} if entry_points is None else entry_points
            lines = (f"{name} = {target}\n" for name, target in points.items())
            entry_points = "[segzoo.plugins]\n" + "".join(lines)
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        return module


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder on ``sys.path``, and on that of processes, to install plug-ins into; the zoo starts anew."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    zoo.refresh()
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]
    monkeypatch.undo()
    zoo.refresh()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of segzoo's and one of torch's, and no mirror, proxy or switch of the environment."""
    for variable in ("SEGZOO_MIRROR", "SEGZOO_OFFLINE", "HF_HUB_OFFLINE", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SEGZOO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class Run(Protocol):
    """Runs a command in a process of its own."""

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]: ...


def run_process(*command: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=dict(environment), capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run the interpreter of the tests: ``python("-c", "...")``."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_process(
            sys.executable, *arguments, cwd=tmp_path, environment={**os.environ, **environment}
        )

    return run


@pytest.fixture
def segzoo_command(tmp_path: Path) -> Run:
    """Run the installed program: ``segzoo_command("list", "models")``."""
    program = Path(sysconfig.get_path("scripts")) / "segzoo"

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_process(str(program), *arguments, cwd=tmp_path, environment={**os.environ, **environment})

    return run


@pytest.fixture(scope="session")
def bare_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to everything that is installed, but segzoo and its plug-ins."""
    folder = tmp_path_factory.mktemp("bare") / "site-packages"
    folder.mkdir()
    for kind in ("purelib", "platlib"):
        for entry in Path(sysconfig.get_path(kind)).iterdir():
            ours = entry.name.startswith(("segzoo", "segmentation_zoo", "_editable", "__editable"))
            if not ours and entry.suffix != ".pth" and not (folder / entry.name).exists():
                (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture
def bare_python(bare_site: Path, tmp_path: Path) -> Run:
    """Run a Python in which torch and the other dependencies are installed, and segzoo is not.

    ``PYTHONPATH`` in the call adds folders after those.
    """

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # -S leaves out the environment's own site-packages, -P the current folder.
        path = os.pathsep.join(filter(None, (str(bare_site), environment.pop("PYTHONPATH", ""))))
        base = {name: value for name, value in os.environ.items() if not name.startswith("SEGZOO_")}
        everything = {**base, "OMP_NUM_THREADS": "1", **environment, "PYTHONPATH": path}
        return run_process(sys.executable, "-S", "-s", "-P", *arguments, cwd=tmp_path, environment=everything)

    return run


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the repository as GitHub would hand it out: tracked files only."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    folder = tmp_path / "clone"
    for name in filter(None, listed.stdout.split("\0")):
        wanted = name.startswith(("segzoo/", "plugins/", "hubconf.py", "pyproject.toml"))
        if wanted and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    return folder
