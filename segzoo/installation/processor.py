"""Cores and memory that this process may use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from segzoo.installation.report import Findings, Part
from segzoo.resources import memory_here, told_bytes, usable_cores

#: Bytes of memory with which segzoo is known to work: torch alone needs 0.3 GB.
LEAST = 1_000_000_000

#: Shared memory through which data loading processes pass batches.
LEAST_SHARED = 256_000_000

_SHARED = Path("/dev/shm")
_ASKED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def look() -> Part:
    """Report the numbers of cores and bytes of memory, in total and for this process."""
    wrong = Findings("machine")
    cores, memory = usable_cores(), memory_here()
    shared = shutil.disk_usage(_SHARED).total if _SHARED.is_dir() else None
    facts = {
        "cores": os.cpu_count() or 1,
        "usable_cores": cores,
        "memory_bytes": memory.total,
        "memory_limit_bytes": memory.limit,
        "free_memory_bytes": memory.room,
        "shared_memory_bytes": shared,
    }
    for name in _ASKED:
        asked = os.environ.get(name, "")
        if asked.isdecimal() and int(asked) > cores:
            wrong.warn(
                f"{name}={asked} asks for more threads than the {cores} cores that this process may use, "
                "which slows them all down",
                f"unset {name}, or set it to {cores}",
            )
    if 0 < memory.room < LEAST:
        wrong.warn(
            f"this process may use only {told_bytes(memory.room)} more memory",
            "close other programs, or request a larger limit; large images are predicted within "
            "--memory 500MB",
        )
    if shared is not None and shared < LEAST_SHARED:
        wrong.warn(
            f"{_SHARED} holds {told_bytes(shared)}: training with workers above 0 may fail with a bus error",
            "keep workers at 0, or start the container with --shm-size=2g",
        )
    return Part("machine", facts, tuple(wrong))
