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
    try:
        membership = _MEMBERSHIP.read_text()
    except OSError:
        membership = ""
    quota = cgroup_cores(membership, CGROUPS)
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
    for line in membership.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            quotas += [q for group in _upwards(root, path) if (q := _quota_v2(group)) is not None]
        elif "cpu" in controllers.split(","):
            for mount in (root / controllers, root / "cpu"):
                quotas += [q for group in _upwards(mount, path) if (q := _quota_v1(group)) is not None]
    return max(1, -int(-min(quotas) // 1)) if quotas else None


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
