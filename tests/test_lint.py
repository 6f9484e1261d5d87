"""Style and types are clean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

BIN = Path(sys.executable).parent


def check(*command: str) -> None:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing():
    check(str(BIN / "ruff"), "check", ".")


def test_the_code_is_formatted():
    check(str(BIN / "ruff"), "format", "--check", ".")


@pytest.mark.slow
def test_pyright_finds_nothing():
    check(str(BIN / "pyright"))
