"""The memory that this process may have, which is not what the machine has.

A container's share is a limit of its control groups (cgroup v1 and v2); a process that passes it is ended,
however much the machine has left.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from segzoo.prediction.threads import CGROUPS, group_folders, memberships

_MEMINFO = Path("/proc/meminfo")

#: What version 1 says where there is no limit lies above this.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Memory:
    """Bytes of memory; 0 where the system does not say.

    Attributes:
        total: that the machine has.
        free: that nobody needs, on the whole machine.
        limit: of this process and those that share its control groups; ``None`` where there is none.
        used: of that limit, what cannot be given back.
    """

    total: int
    free: int
    limit: int | None = None
    used: int = 0

    @property
    def room(self) -> int:
        """What this process may still take."""
        return self.free if self.limit is None else max(0, min(self.free, self.limit - self.used))


def memory_here() -> Memory:
    """Return the memory of this machine, and of this process's share of it."""
    told = _meminfo()
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    total = told.get("MemTotal", pages)
    limit, used = cgroup_memory(memberships(), CGROUPS)
    # A limit above what the machine has limits nothing.
    limited = limit is not None and (not total or limit < total)
    return Memory(total, told.get("MemAvailable", total // 2), limit if limited else None, used)


def cgroup_memory(membership: str, root: Path) -> tuple[int | None, int]:
    """Return the least limit of a process's control groups in bytes, and what is used of it for good.

    Args:
        membership: what ``/proc/self/cgroup`` says, a line ``number:controllers:path`` for each group.
        root: where the groups are mounted.

    Returns:
        ``None`` and 0 where no group has a limit.
    """
    found: list[tuple[int, int]] = []
    for version, group in group_folders(membership, root, "memory"):
        names = ("memory.max", "memory.current", "inactive_file")
        if version == 1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit = _number(group / names[0])
        if limit is not None and limit < _NO_LIMIT:
            # The system drops what it keeps of files before it ends a process.
            kept = _stat(group / "memory.stat").get(names[2], 0)
            found.append((limit, max(0, (_number(group / names[1]) or 0) - kept)))
    return min(found, default=(None, 0), key=lambda one: one[0] - one[1])


def _meminfo() -> dict[str, int]:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        return {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if ":" in line}
    except (OSError, ValueError, IndexError):
        return {}


def _stat(file: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in file.read_text().splitlines())
        return {name: int(value) for name, value in pairs}
    except (OSError, ValueError):
        return {}


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # version 2 says "max"
        return None
