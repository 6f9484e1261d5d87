"""What takes long to make, made once per run of the tests, however many processes run them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first process to ask has filled.

    Args:
        factory: the fixture ``tmp_path_factory``.
        name: what the folder is called, the same in every process.
        make: fills a folder. If it fails, the next process to ask tries again.
    """
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    made = shared / f"{name}.made"
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            folder = factory.mktemp(name)
            make(folder)
            made.write_text(str(folder), encoding="utf-8")
    return type(shared)(made.read_text(encoding="utf-8"))
