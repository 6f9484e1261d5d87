"""The memory and the cores that this process may use, which are not those of the machine; imports no torch.

A container's share is a limit of its control groups (cgroup v1 and v2). A process that passes that of memory
is ended, however much the machine has left. That of processor time is not shown by the count of cores, and
threads beyond it only wait for each other.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from segzoo.errors import OptionError
from segzoo.options import shown

_MEMINFO = Path("/proc/meminfo")
#: What version 1 says where there is no limit lies above this.
_NO_LIMIT = 1 << 60
#: Where the kernel shows control groups.
CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Memory:
    """Memory in bytes; 0 if the system does not report it.

    Attributes:
        total: memory of the machine.
        free: available memory of the whole machine.
        limit: limit for this process and those that share its control groups; ``None`` if there is none.
        used: part of that limit that is in use and cannot be freed.
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
        membership: content of ``/proc/self/cgroup``: one line ``number:controllers:path`` per group.
        root: folder in which the groups are mounted.

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


def usable_cores() -> int:
    """Return how many cores this process may keep busy: its affinity, capped by its groups' quotas."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cores(memberships(), CGROUPS)
    return max(1, affinity if quota is None else min(affinity, quota))


def cgroup_cores(membership: str, root: Path) -> int | None:
    """Return the least quota of a process's control groups in whole cores, rounded up.

    Args:
        membership: content of ``/proc/self/cgroup``: one line ``number:controllers:path`` per group.
        root: folder in which the groups are mounted.

    Returns:
        ``None`` where no group has a quota.
    """
    quotas: list[float] = []
    for version, group in group_folders(membership, root, "cpu"):
        quota = _quota_v2(group) if version == 2 else _quota_v1(group)
        quotas += [] if quota is None else [quota]
    return max(1, -int(-min(quotas) // 1)) if quotas else None


def memberships() -> str:
    """Return what ``/proc/self/cgroup`` says, nothing where there are no control groups."""
    try:
        return _MEMBERSHIP.read_text()
    except OSError:
        return ""


def group_folders(membership: str, root: Path, controller: str) -> list[tuple[int, Path]]:
    """Return the folders of the control groups that may limit a process, and of those around them.

    Args:
        membership: content of ``/proc/self/cgroup``.
        root: folder in which the groups are mounted.
        controller: controller in version 1, ``cpu`` or ``memory``; version 2 has all of them in one folder.

    Returns:
        The version of the interface, 1 or 2, and the folder, which need not exist.
    """
    folders: list[tuple[int, Path]] = []
    for line in membership.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            folders += [(2, group) for group in _upwards(root, path)]
        elif controller in controllers.split(","):
            mounts = dict.fromkeys((root / controllers, root / controller))
            folders += [(1, group) for mount in mounts for group in _upwards(mount, path)]
    return folders


def _upwards(mount: Path, path: str) -> list[Path]:
    """Return a group's folder and those of the groups around it; a quota of any holds for all inside."""
    inner = Path(path.strip().lstrip("/"))
    # Inside a container the path may be the host's, and the group itself is mounted at the root.
    return [mount / inner, *(mount / parent for parent in inner.parents)]


def _quota_v2(group: Path) -> float | None:
    words = _words(group / "cpu.max")
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def _quota_v1(group: Path) -> float | None:
    quota, period = _words(group / "cpu.cfs_quota_us"), _words(group / "cpu.cfs_period_us")
    if not quota or not period or int(quota[0]) <= 0:
        return None
    return int(quota[0]) / int(period[0])


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


# Sizes of memory as people write them.

_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}{tail}": 1000**power for power, letter in enumerate("kmgt", 1) for tail in ("", "b")}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)}

_MOST = 10**18


def parse_memory(text: str | int) -> int:
    """Return a number of bytes from a text such as ``"4GB"``, ``"512 MB"`` or ``"1.5GiB"``, or from a number.

    Raises:
        OptionError: it is not a size, or not above 0.

    Example:
        >>> parse_memory("1.5GB")
        1500000000
    """
    if isinstance(text, int) and not isinstance(text, bool):
        size = text
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", str(text).lower())
        if not found or found[2] not in _UNITS:
            raise OptionError(f"memory {shown(text)} is no size: write it as 4GB, 512MB or a number of bytes")
        size = float(found[1]) * _UNITS[found[2]]
    if not 1 <= size <= _MOST:
        raise OptionError(f"memory must lie in 1 byte to 1 EB, got {shown(text)}")
    return int(size)


def told_bytes(size: float) -> str:
    """Return a number of bytes for people, rounded up: ``41 kB``, ``310 MB``, ``1.24 GB``."""
    if size >= 1e9:
        return f"{math.ceil(size / 1e7) / 100:,.2f} GB"
    return f"{math.ceil(size / 1e6)} MB" if size >= 1e6 else f"{math.ceil(size / 1e3)} kB"
