"""Setting up what the tests of the site need, with programs that stand in for apt-get and npm."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import browser_setup
import from_npm
import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the programs that stand in are shell scripts")
LOCK = "package-lock.json"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of which ``bin`` is all there is; what its programs were called with goes to ``calls``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CHROME_PATH", raising=False)
    monkeypatch.setattr(browser_setup, "ELSEWHERE", ())
    return tmp_path


def add(machine: Path, name: str, does: str = "") -> Path:
    program = machine / "bin" / name
    shell = shutil.which("sh", path="/bin:/usr/bin")
    program.write_text(f'#!{shell}\necho "{name} $*" >> {machine}/calls\n{does}\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def calls(machine: Path) -> list[str]:
    file = machine / "calls"
    return file.read_text("utf-8").splitlines() if file.exists() else []


def test_a_chromium_that_is_there_is_taken_and_nothing_installed(machine: Path) -> None:
    program = add(machine, "chromium")
    add(machine, "apt-get")
    assert browser_setup.install_chromium()
    assert browser_setup.chromium() == str(program)
    assert calls(machine) == []


def test_the_browser_that_is_named_comes_first(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(machine, "chromium")
    monkeypatch.setenv("CHROME_PATH", str(add(machine, "mine")))
    assert browser_setup.chromium() == str(machine / "bin/mine")
    monkeypatch.setenv("CHROME_PATH", str(machine / "nowhere"))
    assert browser_setup.chromium() == str(machine / "bin/chromium")


def test_root_gets_debian_s_chromium(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0, raising=False)
    made = machine / "bin/chromium"
    add(machine, "apt-get", f'case "$*" in *install*) : > {made}; /bin/chmod +x {made};; esac')
    assert browser_setup.install_chromium()
    assert calls(machine) == ["apt-get update", "apt-get install --yes --no-install-recommends chromium"]


def test_who_is_not_root_uses_sudo_where_it_asks_no_password(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000, raising=False)
    add(machine, "apt-get")
    add(machine, "sudo")
    browser_setup.install_chromium()
    assert calls(machine)[:2] == ["sudo -n true", f"sudo -n {machine}/bin/apt-get update"]


@pytest.mark.parametrize("programs", [{}, {"apt-get": ""}, {"apt-get": "", "sudo": "exit 1"}])
def test_who_may_not_install_is_told_what_to_install(
    machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    programs: dict[str, str],
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000, raising=False)
    for name, does in programs.items():
        add(machine, name, does)
    assert not browser_setup.install_chromium()
    assert "apt-get install chromium" in capsys.readouterr().err
    assert not any(call.startswith("apt-get") for call in calls(machine))
    assert "no Chromium is found" in str(browser_setup.missing())


AXE = 'mkdir -p node_modules/axe-core && echo "axe" > node_modules/axe-core/axe.min.js'


def test_axe_core_is_fetched_once_as_it_is_pinned(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = add(machine, "npm", f"PATH=/bin:/usr/bin; {AXE}")
    monkeypatch.setattr(from_npm, "npm", lambda: [str(npm)])
    home = machine / "axe"
    assert browser_setup.fetch_axe(home)
    assert browser_setup.fetch_axe(home)
    assert calls(machine) == ["npm ci --ignore-scripts --no-audit --no-fund --loglevel=error"]
    assert (home / LOCK).read_bytes() == (browser_setup.PINNED / LOCK).read_bytes()

    (home / LOCK).write_text("{}", encoding="utf-8")  # of an older segzoo
    assert browser_setup.fetch_axe(home)
    assert len(calls(machine)) == 2


def test_a_registry_that_cannot_be_reached_is_told_and_asked_again_next_time(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    npm = add(machine, "npm", "echo 'no such host' >&2; exit 1")
    monkeypatch.setattr(from_npm, "npm", lambda: [str(npm)])
    home = machine / "axe"
    assert not browser_setup.fetch_axe(home)
    assert "no such host" in capsys.readouterr().err
    assert not browser_setup.fetch_axe(home)
    assert len(calls(machine)) == 2


def test_a_machine_without_npm_is_told_so(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (browser_setup, from_npm):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert not browser_setup.fetch_axe(machine / "axe")
    assert "install Node.js" in capsys.readouterr().err
    assert browser_setup.GET_DRIVER in str(browser_setup.missing())
    add(machine, "npm")
    assert from_npm.npm() == [str(machine / "bin/npm")]


def test_what_is_missing_skips_the_tests_of_the_site_and_fails_them_on_a_server(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from browser import need_browser

    assert machine.is_dir()  # which has no browser
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        need_browser()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        need_browser()
