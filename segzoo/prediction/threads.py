"""As many threads as the process may use cores, which is not what the machine has.

A container's share is a quota of processor time (cgroup v1 and v2) that the count of cores does not
show; threads beyond it only wait for each other.
"""

from __future__ import annotations

import os
from pathlib import Path

#: Where the kernel shows control groups.
CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_ASKED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores() -> int:
    """Return how many cores this process may keep busy: its affinity, capped by its groups' quotas."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cores(memberships(), CGROUPS)
    return max(1, affinity if quota is None else min(affinity, quota))


def cgroup_cores(membership: str, root: Path) -> int | None:
    """Return the least quota of a process's control groups in whole cores, rounded up.

    Args:
        membership: what ``/proc/self/cgroup`` says, a line ``number:controllers:path`` for each group.
        root: where the groups are mounted.

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
        membership: what ``/proc/self/cgroup`` says.
        root: where the groups are mounted.
        controller: of version 1, ``cpu`` or ``memory``; version 2 has all in one folder.

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


def use_cores() -> int:
    """Take threads from torch that the process has no core for, and return how many it then uses.

    It never adds any, and leaves alone what ``OMP_NUM_THREADS`` or ``MKL_NUM_THREADS`` asked for.
    """
    import torch

    cores = usable_cores()
    if torch.get_num_threads() > cores and not any(name in os.environ for name in _ASKED):
        torch.set_num_threads(cores)
    return torch.get_num_threads()


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
