"""``segzoo doctor``: what it finds on machines where something is broken, and that it survives that."""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ROOT, Site, run_process

from segzoo import __version__, cli
from segzoo.installation import caches, environment, examine, installation, plugins, processor, report, trial
from segzoo.installation.distributions import Requirement, requirements
from segzoo.prediction.tiling import planner as large
from segzoo.resources import Memory, cgroup_memory, memory_here

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import Run

    from segzoo.installation import Part

DEVICE = {
    "chosen": "cpu",
    "why": "torch sees no accelerator",
    "error": "",
    "fast": "float32",
    "fast_why": "the CPU has no instructions for bfloat16",
    "torch": "2.15.0",
    "cuda": "",
    "accelerators": [],
    "hardware": [],
    "hidden": "",
    "threads": 2,
    "cpu": {"name": "a processor", "instructions": ["avx2"]},
}
#: What a process in which all is well tells.
WELL: Mapping[str, Any] = {
    "imported": list(trial.MODULES),
    "errors": {},
    "files": {},
    "device": DEVICE,
    "device_error": "",
    "crash": (),
}


@pytest.fixture
def well(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Spare the process that tries torch; other tests start it. The environment says nothing."""
    monkeypatch.setattr(trial, "try_imports", lambda *, patience: WELL)
    for name in [name for name in os.environ if name.startswith("SEGZOO_") and name != "SEGZOO_HOME"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(home.parent / "hf"))


def told(part: Part) -> str:
    return "\n".join(f"{one.level}: {one.text} -> {one.cure}" for one in part.findings)


# -- the whole report


def test_json_has_the_keys_that_bug_reports_rely_on(well: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        *("ok", "findings", "installation", "packages", "extras", "machine"),
        *("device", "caches", "environment", "plugins"),
    ]
    assert found["ok"] is True
    assert found["installation"].keys() == {
        *("segzoo", "imported_from", "installed", "python", "executable", "platform", "command")
    }
    assert found["installation"]["segzoo"] == __version__
    assert found["packages"]["required"][0].keys() == {"name", "version", "needs", "imports", "error"}
    assert found["extras"]["train"].keys() == {"installed", "packages", "missing", "install"}
    assert found["machine"].keys() == {
        *("cores", "usable_cores", "memory_bytes", "memory_limit_bytes"),
        *("free_memory_bytes", "shared_memory_bytes"),
    }
    assert found["device"].keys() == DEVICE.keys()
    assert found["caches"]["folders"][0].keys() == {
        *("name", "folder", "exists", "bytes", "files", "counted"),
        *("writable", "free_bytes", "variable"),
    }
    assert found["plugins"]["records"][0]["distribution"] == "segzoo"


def test_text_tells_every_part_and_that_nothing_is_wrong(
    well: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["doctor"]) == 0
    text = capsys.readouterr().out
    headings = re.findall(r"^(\w+)$", text, re.MULTILINE)
    assert headings == [
        *("installation", "packages", "extras", "machine", "device", "caches", "environment", "plugins"),
    ]
    assert "  chosen   cpu: torch sees no accelerator\n" in text
    assert re.search(r"^  segzoo-medical +\S+ +1 +ok", text, re.MULTILINE)
    assert text.endswith("\nno problem was found\n")


@pytest.mark.medium
def test_a_cache_that_is_too_large_to_be_counted_is_told_to_be_larger(
    well: None, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    for name in "abc":
        (home / name).write_bytes(bytes(1_000_000))
    assert cli.run(["doctor"]) == 0
    assert re.search(r"^  segzoo +3 MB ", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setattr(caches, "_MOST_FILES", 2)
    assert cli.run(["doctor"]) == 0
    assert re.search(r"^  segzoo +at least 2 MB ", capsys.readouterr().out, re.MULTILINE)


def test_findings_are_numbered_errors_first_each_with_its_cure_and_errors_give_exit_code_1(
    well: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGZOO_OFFLNE", "1")
    monkeypatch.setenv("SEGZOO_MIRROR", "mirror.example.org")
    assert cli.run(["doctor"]) == 1
    text = capsys.readouterr().out.partition("problems\n")[2]
    assert re.fullmatch(
        r"  1\. error: SEGZOO_MIRROR='mirror\.example\.org' is not an address.*\n"
        r"     solution: .*\n"
        r"  2\. warning: SEGZOO_OFFLNE is not a variable of segzoo; did you mean 'SEGZOO_OFFLINE'\?\n"
        r"     solution: .*\n"
        r"\n1 of 2 stops segzoo from working\n",
        text,
    )


def test_warnings_alone_give_exit_code_0(
    well: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGZOO_DATA", "/no/such/folder")
    assert cli.run(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("segzoo works all the same\n")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["installation", "machine", "caches", "environment", "plugins"])
def test_a_part_that_cannot_be_looked_at_leaves_the_others_standing(
    well: None, part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = {
        "installation": installation,
        "machine": processor,
        "caches": caches,
        "environment": environment,
        "plugins": plugins,
    }

    def fail() -> Part:
        raise PermissionError(13, "no", "/somewhere")

    monkeypatch.setattr(modules[part], "look", fail)
    assert cli.run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert f"{part}\n  PermissionError: [Errno 13] no: '/somewhere'\n" in text
    assert f"1. warning: the part {part} cannot be checked: PermissionError" in text


def test_what_is_no_text_is_told_all_the_same(
    well: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGZOO_DATA", "/a\udcff\nb")
    assert cli.run(["doctor"]) == 0
    assert r"SEGZOO_DATA  /a\udcff\nb" in re.sub(" +", "  ", capsys.readouterr().out)


def test_paths_below_the_home_folder_are_told_without_it() -> None:
    home = str(Path.home())
    data = {"a": [f"{home}/x", f"see {home}/y and {home}.", f"{home}er/x"], "b": 3}
    assert report.without_home(data) == {"a": ["~/x", "see ~/y and ~.", f"{home}er/x"], "b": 3}


# -- real processes


@pytest.mark.slow
def test_here_everything_works_and_the_command_itself_imports_no_torch(python: Run, home: Path) -> None:
    code = "import sys; from segzoo.cli import run; run(['doctor', '--json']); print('torch' in sys.modules)"
    *lines, loaded = python("-c", code, CUDA_VISIBLE_DEVICES="").stdout.splitlines()
    found = json.loads("\n".join(lines))
    assert loaded == "False"
    assert [one for one in found["findings"] if one["level"] == "error"] == []
    assert all(one["imports"] for one in found["packages"]["required"])
    assert {one["name"] for one in found["packages"]["required"]} == set(trial.MODULES)
    assert found["device"]["error"] == ""
    if found["device"]["chosen"] == "cpu":
        assert found["device"]["why"] == "CUDA_VISIBLE_DEVICES='' hides the GPUs"


BROKEN = "raise ImportError('libtorch_cpu.so: undefined symbol: _ZN2at')"
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
ENDED = "import os; print('half a line', end='', flush=True); os._exit(3)"
STUCK = "import time; time.sleep(60)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (BROKEN, "torch 2.9.0 cannot be imported: ImportError: libtorch_cpu.so: undefined symbol: _ZN2at"),
        (KILLED, "importing torch ends the process by SIGILL"),
        (ENDED, "importing torch ends the process with status 3"),
        (STUCK, "importing torch takes more than 3 s"),
    ],
    ids=["an import error", "a signal", "an exit", "a standstill"],
)
def test_a_broken_torch_is_one_error_with_its_cure(site: Site, home: Path, code: str, text: str) -> None:
    # Where torch fails for one reason, torchvision and timm do for the same, which is no news.
    site.install("torch", code, version="2.9.0", entry_points="")
    found = examine(patience=3 if code == STUCK else 60)
    errors = [one for one in found.findings if one.level == "error"]
    assert [one.text for one in errors if "torch" in one.text] == [text]
    assert "https://pytorch.org/get-started/locally" in errors[0].cure
    assert not found.ok
    packages = {one["name"]: one["imports"] for one in found.to_json()["packages"]["required"]}
    assert packages["numpy"] is True
    assert packages["torch"] is (False if code == BROKEN else None)
    assert found.to_json()["device"]["trouble"]


@pytest.mark.slow
def test_without_torch_in_a_clone_that_is_not_installed(tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("torch", "segzoo", "segmentation_zoo", "_editable", "__editable")):
            (folder / entry.name).symlink_to(entry)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEGZOO_")}
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = run_process(
        *(sys.executable, "-S", "-s", "-P", "-m", "segzoo", "doctor"),
        cwd=tmp_path,
        environment={**kept, "PYTHONPATH": path, "SEGZOO_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 1, done.stderr
    assert re.search(r"^  torch +missing +- +>=[\d.]+$", done.stdout, re.MULTILINE)
    told = r"error: torch is not installed\n     solution: pip install 'torch>=[\d.]+'\n"
    assert re.search(told, done.stdout)
    assert "timm" not in done.stdout.partition("problems\n")[2]
    assert f"segzoo {__version__} is imported from" in done.stdout
    assert f"solution: pip install -e {ROOT}" in done.stdout or "pip install -e ~" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_where_even_what_loads_plugins_is_broken_the_rest_is_told(
    site: Site, segzoo_command: Run, home: Path
) -> None:
    site.install("torch", BROKEN, version="2.9.0", entry_points="")
    site.install("pluggy", "raise ImportError('no pluggy')", version="1.6.0", entry_points="")
    done = segzoo_command("doctor")
    assert done.returncode == 1
    assert done.stderr == ""
    assert "error: pluggy 1.6.0 cannot be imported: ImportError: no pluggy\n" in done.stdout
    assert "\nplugins\n  ImportError: no pluggy\n" in done.stdout
    assert re.search(r"^  segzoo +0 kB  not made yet", done.stdout, re.MULTILINE)


# -- installation


def install(folder: Path, name: str, version: str) -> None:
    """Leave the files that say that a distribution is installed, and no code."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_two_installations_of_segzoo_are_told_with_their_places(site: Site) -> None:
    install(site.folder, "segmentation-zoo", "0.0.9")
    assert re.search(
        r"segmentation-zoo is installed 2 times: 0\.0\.9 in .*site-packages; .* -> pip uninstall",
        told(installation.look()),
    )


def test_a_program_of_another_python_on_the_path_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "segzoo"
    program.write_text("#!/opt/other/bin/python3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"`segzoo` on the PATH is {program}, which belongs to the Python in" in told(installation.look())
    program.write_text(f"#!{sys.executable}\n")
    assert "on the PATH" not in told(installation.look())


def test_a_version_that_is_too_old_is_an_error_for_what_is_needed_and_a_warning_for_extras(
    site: Site,
) -> None:
    install(site.folder, "timm", "0.9.16")
    install(site.folder, "accelerate", "1.5.2")
    part = installation.look_at_packages(WELL)
    assert re.search(
        r"error: timm 0\.9\.16 is not supported: segzoo needs (timm>=[\d.]+) -> pip install '\1'", told(part)
    )
    assert re.search(
        r"warning: accelerate 1\.5\.2 is not supported by the extra 'train', which needs accelerate>=[\d.]+ "
        r"-> pip install --upgrade 'segmentation-zoo\[train\]'",
        told(installation.look_at_extras()),
    )


def test_two_versions_in_one_folder_are_told_and_one_further_down_the_path_is_not(site: Site) -> None:
    install(site.folder, "timm", "9.0")
    assert "times" not in told(installation.look_at_packages(WELL))
    install(site.folder, "timm", "9.1")
    found = told(installation.look_at_packages(WELL))
    assert re.search(r"warning: timm is installed 2 times in .*site-packages, 9\.\d and 9\.\d", found)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("", "warning: timm is imported from /here/timm.py, not from "),
        ("ImportError: no", "where it is installed, and fails: ImportError: no -> rename /here/timm.py"),
    ],
)
def test_a_file_that_has_the_name_of_a_package_is_told(error: str, text: str) -> None:
    errors = {"timm": error} if error else {}
    found = installation.look_at_packages({**WELL, "errors": errors, "files": {"timm": "/here/timm.py"}})
    assert text in told(found)
    assert len(found.findings) == 1


def test_a_package_whose_files_do_not_say_its_version_is_survived(site: Site) -> None:
    (site.folder / "timm-1.0.20.dist-info").mkdir()
    part = installation.look_at_packages(WELL)
    versions = {one["name"]: one["version"] for one in part.facts["required"]}
    assert versions["timm"] == "1.0.20"


@pytest.mark.parametrize(
    ("bounds", "version", "met"),
    [
        (">=2.6", "2.6.0rc1", False),
        (">=2.6", "2.6.0+cu128", True),
        (">=2.6", "2.7.0a0+git1", True),
        (">=2.6", "2.10", True),
        (">=2.6", "2.5.1", False),
        (">=1.0.20", "1.0.9", False),
        (">=1,<3", "3.0", False),
        ("==2.0", "2", True),
        ("==2.*", "3.1", False),
        ("", "0.1", True),
        (">=1", "", True),
        (">=1", "of mine", True),
    ],
)
def test_versions_are_compared_as_pip_does(bounds: str, version: str, met: bool) -> None:
    assert Requirement("x", bounds).met(version) is met


def test_every_line_of_what_segzoo_needs_is_understood_and_can_be_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What the source tree says; an editable installation says what the tree did when it was installed.
    monkeypatch.setattr("segzoo.installation.distributions.PROJECT", "segzoo-that-nobody-installed")
    needed = requirements()
    assert {one.name for one in needed if not one.extra} == set(trial.MODULES)
    assert all(re.fullmatch(r">=[\d.]+", one.bounds) for one in needed)
    assert {"train", "video", "metrics"} <= {one.extra for one in needed}


# -- device


def device(**facts: Any) -> Part:
    return trial.look_at_device({**WELL, "device": {**DEVICE, **facts}})


def test_a_gpu_that_torch_does_not_use_is_a_warning_unless_it_is_hidden_on_purpose() -> None:
    found = device(hardware=["an NVIDIA GPU"], why="this torch is built for the CPU only")
    assert (
        "this machine has an NVIDIA GPU, but torch does not use it: this torch is built for the CPU only"
    ) in told(found)
    hidden = "CUDA_VISIBLE_DEVICES=''"
    assert told(device(hardware=["an NVIDIA GPU"], hidden=hidden)) == ""


def test_a_device_that_cannot_compute_is_an_error() -> None:
    found = device(chosen="cuda", error="RuntimeError: no kernel image is available")
    assert told(found).startswith("error: cuda is selected but cannot compute: RuntimeError: no kernel image")


# -- memory and cores


def test_the_memory_that_a_container_may_use_is_read_of_both_versions(tmp_path: Path) -> None:
    group = tmp_path / "pod" / "one"
    group.mkdir(parents=True)
    (tmp_path / "pod" / "memory.max").write_text("3000\n")
    (tmp_path / "pod" / "memory.current").write_text("500\n")
    (group / "memory.max").write_text("max\n")
    assert cgroup_memory("0::/pod/one\n", tmp_path) == (3000, 500)
    (group / "memory.max").write_text("2000\n")
    (group / "memory.current").write_text("1500\n")
    (group / "memory.stat").write_text("anon 900\ninactive_file 400\n")
    assert cgroup_memory("0::/pod/one\n", tmp_path) == (2000, 1100)
    first = tmp_path / "memory" / "box"
    first.mkdir(parents=True)
    (first / "memory.limit_in_bytes").write_text("700")
    (first / "memory.usage_in_bytes").write_text("300")
    assert cgroup_memory("4:memory:/box\n3:cpu:/box\n", tmp_path) == (700, 300)


def test_without_a_limit_there_is_none(tmp_path: Path) -> None:
    first = tmp_path / "memory"
    first.mkdir()
    (first / "memory.limit_in_bytes").write_text(str((1 << 63) - 4096))
    assert cgroup_memory("4:memory:/\n", tmp_path) == (None, 0)
    assert cgroup_memory("", tmp_path) == (None, 0)
    assert 0 < memory_here().room <= memory_here().total


def test_a_plan_for_a_large_image_keeps_to_the_container_s_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = Memory(total=10**12, free=9 * 10**11, limit=4 * 10**9, used=10**9)
    assert limited.room == 3 * 10**9
    monkeypatch.setattr(large, "memory_here", lambda: limited)
    assert large.to_spare() < 3 * 10**9
    monkeypatch.setattr(large, "memory_here", lambda: Memory(0, 0))
    assert large.to_spare() > 10**9


def test_more_threads_than_cores_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert "OMP_NUM_THREADS=4096 asks for more threads than the" in told(processor.look())


# -- caches


def test_a_cache_that_cannot_be_written_is_an_error_and_a_warning_where_nothing_is_fetched(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("a file")
    part = caches.look()
    assert (
        f"error: the cache of segzoo cannot be written: {home} is not a folder "
        "-> set SEGZOO_HOME to a folder that you may write to"
    ) in told(part)
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    assert "warning: the cache of segzoo cannot be written" in told(caches.look())
    assert caches.look().facts["offline"] is True


def test_a_cache_that_is_not_there_yet_is_not_made(home: Path) -> None:
    part = caches.look()
    row = part.facts["folders"][0]
    assert (row["folder"], row["exists"], row["writable"]) == (str(home), False, True)
    assert not home.exists()


def test_a_fetched_file_of_another_size_and_a_damaged_record_are_told(home: Path) -> None:
    files = home / "files" / "example.org"
    files.mkdir(parents=True)
    (files / "a.pth").write_bytes(b"12345")
    record = {"url": "https://example.org/a.pth", "bytes": 9, "sha256": "00", "pinned": True}
    (files / "a.pth.json").write_text(json.dumps(record))
    (files / "b.pth.json").write_text("{")
    (files / "c.pth").write_bytes(b"12345")
    (files / "c.pth.json").write_text(json.dumps({**record, "bytes": "nine"}))
    text = told(caches.look())
    assert f"{files / 'a.pth'} has 5 bytes, but had 9 when it was fetched" in text
    assert text.count("a record in the cache is damaged") == 2
    assert caches.look().facts["folders"][0]["files"] == 5


# -- environment


def test_every_variable_that_segzoo_reads_is_known() -> None:
    files = [*(ROOT / "segzoo").rglob("*.py"), *(ROOT / "plugins").glob("segzoo-*/src/**/*.py")]
    read = {name for file in files for name in re.findall(r"\bSEGZOO_[A-Z_]+\b", file.read_text("utf-8"))}
    assert read == set(environment.SEGZOO)


def test_every_variable_that_the_reference_lists_is_shown_where_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    names = re.findall(r"^```\{envvar\} (\w+)$", reference, re.MULTILINE)
    assert len(names) > 20
    for name in names:
        monkeypatch.setenv(name, "1")
    assert set(names) <= set(environment.look().facts["variables"])


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.example.org:3128")
    monkeypatch.setenv("SEGZOO_HOME", "/cache")
    variables = environment.look().facts["variables"]
    assert "secret" not in json.dumps(variables)
    assert variables["HF_TOKEN"] == "(set, not shown)"
    assert variables["HTTPS_PROXY"] == "http://(not shown)@proxy.example.org:3128"
    assert variables["SEGZOO_HOME"] == "/cache"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("me:secret@proxy.example.org:3128", "(not shown)@proxy.example.org:3128"),
        ("http://me:sec#ret@proxy.example.org", "http://(not shown)@proxy.example.org"),
        ("http://me:se@cret[1@proxy.example.org/x", "http://(not shown)@proxy.example.org/x"),
        ("//me:secret@proxy.example.org", "//(not shown)@proxy.example.org"),
        ("/mnt/team@work", "/mnt/team@work"),
    ],
)
def test_a_password_is_not_shown_however_odd_its_address(
    monkeypatch: pytest.MonkeyPatch, value: str, shown: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    assert environment.look().facts["variables"]["HTTP_PROXY"] == shown


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("SEGZOO_HOEM", "x", "SEGZOO_HOEM is not a variable of segzoo; did you mean 'SEGZOO_HOME'?"),
        ("SEGZOO_OFFLINE", "yep", "SEGZOO_OFFLINE='yep' is treated as 1: nothing is fetched"),
        ("SEGZOO_DATA", "/no/such", "SEGZOO_DATA='/no/such' is not a folder"),
        ("SEGZOO_MIRROR", "me:pw@host", "SEGZOO_MIRROR='(not shown)@host' is not an address"),
        ("SEGZOO_PLUGINS", "segzoo-medcal", "did you mean 'segzoo-medical'?"),
        ("SEGZOO_DISABLE_PLUGINS", "nothing", "SEGZOO_DISABLE_PLUGINS names 'nothing', but no distribution"),
    ],
)
def test_a_setting_that_says_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    monkeypatch.setenv(name, value)
    assert text in told(environment.look())


# -- plug-ins


def test_a_broken_plugin_is_a_warning_with_what_it_raised(site: Site) -> None:
    site.install("segzoo-broken", "import cv3")
    part = plugins.look()
    assert (
        "warning: plug-in segzoo-broken (plugin) is broken: ModuleNotFoundError: No module named 'cv3'"
    ) in told(part)
    assert "SEGZOO_DISABLE_PLUGINS=segzoo-broken" in told(part)
    record = next(one for one in part.facts["records"] if one["distribution"] == "segzoo-broken")
    assert "Traceback" in record["traceback"]


def test_a_broken_plugin_is_an_error_where_it_stops_all_others(
    site: Site, well: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("segzoo-broken", "1 / 0")
    monkeypatch.setenv("SEGZOO_STRICT_PLUGINS", "1")
    assert cli.run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "error: no plug-in can be loaded: plug-in 'plugin' of segzoo-broken is broken" in text
    assert "solution: unset SEGZOO_STRICT_PLUGINS to load the others" in text


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (None, "are incomplete: there is no"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    ],
)
def test_weights_that_ought_to_ship_and_do_not_are_told(
    site: Site, contents: bytes | None, text: str
) -> None:
    module = site.install(
        "segzoo-shipped",
        """
        from segzoo.hooks import hookimpl
        from segzoo.specs import WeightsSpec
        @hookimpl
        def segzoo_weights():
            return [WeightsSpec(
                name="shipped",
                summary="weights",
                model="unet",
                num_classes=1,
                classes=("background", "thing"),
                folder="segzoo_shipped:shipped",
                licence="Apache-2.0",
            )]
        """,
    )
    folder = site.folder / "shipped"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    if contents is not None:
        (folder / "model.safetensors").write_bytes(contents)
    assert module == "segzoo_shipped"
    found = told(plugins.look())
    assert text in found
    assert "pip install --force-reinstall segzoo-shipped" in found
