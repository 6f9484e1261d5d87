"""The documentation, built once per run of the tests, however many processes run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_once import made_once

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCS = Path(__file__).resolve().parents[1] / "docs"


def build(
    target: Path, *options: str, source: Path = DOCS, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Build the site into a folder, without the network; a warning is an error."""
    always = ["-W", "--keep-going", "-q", "-b", "html", "-d", f"{target}-doctrees"]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *always, *options, str(source), str(target)],
        env={**os.environ, "SEGZOO_OFFLINE": "1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="session")
def docs_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site: ``docs_site / "index.html"``, in Chinese ``docs_site / "zh/index.html"``.

    A test that takes it is slow.
    """

    def make(folder: Path) -> None:
        english = build(folder / "site")
        chinese = build(folder / "site/zh", "-d", str(folder / "zh-doctrees"), "-D", "language=zh_CN")
        complaints = "".join(done.stderr for done in (english, chinese) if done.returncode)
        (folder / "said.txt").write_text(complaints, encoding="utf-8")

    folder = made_once(tmp_path_factory, "docs", make)
    complaints = (folder / "said.txt").read_text(encoding="utf-8")
    assert not complaints, f"`make docs` fails:\n{complaints}"
    return folder / "site"
