"""Every command that the doctor prints runs as it stands: over the cases and the formats of shared."""

from __future__ import annotations

import os
import re
import runpy
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from doctor_data import disc, folder, save

from segzoo import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARED = Path(os.environ.get("SEGZOO_DATA", "no-such-folder")).parent
needs_shared = pytest.mark.skipif(
    "SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA names no folder of datasets"
)
#: Makes a printed training one step of a tiny network.
TINY = ("model.width=2", "epochs=1", "steps=1", "crop=32", "batch_size=2", "device=cpu", "workers=0")
#: Words in a command that a person replaces.
PLACEHOLDER = re.compile(r"\b(?:DIR|OUT|NAME|FILE|FOLDER|ORG)\b")
CASES = {
    "bands": ("npy4", "rgb16", "rgba_png", "tif4_float", "tif4_planar16", "tif5"),
    "deep": ("",),
    "objects": ("few8", "many16"),
    "parts": ("twenty", "fourteen"),
    "names": ("both_sides", "prefixes", "labels", "odd"),
    "overlap": ("",),
    "formats": ("coco", "yolo", "labelme", ""),
    "fundus": ("",),
}


def commands(text: str) -> Iterator[list[str]]:
    """Yield the commands that a text shows: a line each, or between backticks."""
    flat = re.sub(r"\s+", " ", text)
    found = [line.strip() for line in text.splitlines() if re.match(r"\s+segzoo ", line)]
    found += re.findall(r"`(segzoo [^`]*)`", flat)
    for line in dict.fromkeys(found):
        if not PLACEHOLDER.search(line):
            yield shlex.split(line)


def run(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capfd.readouterr()
    code = cli.run(words)
    out, err = capfd.readouterr()
    return code, out + err


def check(place: Path | str, capfd: pytest.CaptureFixture[str], seen: set[tuple[str, ...]]) -> int:
    """Check a place and run what is printed, and what that prints; return how many commands were run."""
    words = ["data", "check", str(place)]
    code, text = run(words, capfd)
    assert code in (0, 1), text
    assert "Traceback" not in text
    assert (code == 1) == bool(re.search(r"^error ", text, re.MULTILINE)), text
    return follow(text, capfd, seen)


def follow(text: str, capfd: pytest.CaptureFixture[str], seen: set[tuple[str, ...]]) -> int:
    count = 0
    for command in commands(text):
        if tuple(command) in seen:
            continue
        seen.add(tuple(command))
        assert command[0] == "segzoo"
        words = command[1:]
        checks = words[:2] == ["data", "check"] and "--fix" not in words
        if words[0] == "train":
            words = [*words, *TINY, "--out", f"run{len(seen)}"]
        code, told = run(words, capfd)
        assert code in ((0, 1) if checks else (0,)), f"{shlex.join(command)}\n{told}"
        count += 1 + follow(told, capfd, seen)
    return count


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("cases")
    make = runpy.run_path(str(SHARED / "cases/make.py"))["CASES"]

    def made(name: str) -> Path:
        if not (root / name).exists():
            make[name](root / name)
        return root / name

    return made


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "inner"), [(case, inner) for case, inners in CASES.items() for inner in inners]
)
def test_every_printed_command_runs_on_the_cases(
    tmp_path: Path,
    case: str,
    inner: str,
    cases: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "data"
    place.symlink_to(cases(case) / inner, target_is_directory=True)
    check(place, capfd, set())


def formats() -> list[str]:
    """Return the folders of real files, with those of one tool inside a folder of toys."""
    roots = [SHARED / "formats", SHARED / "formats/datumaro_toys", SHARED / "data"]
    return [
        str(inner.relative_to(SHARED))
        for root in roots
        if root.is_dir()
        for inner in sorted(root.iterdir())
        if inner.is_dir() and inner.name not in ("hippocampus_nifti", "dsb2018")
    ]


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("place", formats())
def test_every_printed_command_runs_on_files_that_real_tools_wrote(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "data"  # shared is read-only: copies go beside the link
    link.symlink_to(SHARED / place, target_is_directory=True)
    check(link, capfd, set())


@pytest.mark.medium
@pytest.mark.parametrize("name", ["it's $HOME", '-x "b"', "--data", "a=b", "*", "coco", "ä;é"])
def test_printed_commands_are_quoted_for_names_of_every_kind(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / name)
    save(tmp_path / name / "masks/lonely.png", disc(3))
    assert check(f"./{name}", capfd, set()) == 2  # a repaired copy, and training on it
