"""What this machine computes fastest in and reaches at best, and its memory at the peak; imports torch."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from segzoo.errors import OptionError
from segzoo.options import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


_KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
_STATUS = Path("/proc/self/status")


def peak_flops(device: torch.device, precision: str) -> float:
    """Return the operations a second of the best of five large matrix products.

    Args:
        device: where.
        precision: ``bf16``, ``fp16``, ``int8``; anything else is float32.
    """
    side = 1024 if device.type == "cpu" else 8192
    kind = _KINDS.get(precision, torch.float32)
    product = _whole_product if kind is torch.int8 else torch.matmul
    if kind is torch.int8:
        one = torch.randint(-127, 128, (side, side), dtype=kind, device=device)
    else:
        one = torch.randn(side, side, device=device).to(kind)
    best = float("inf")
    for _ in range(5):
        wait(device)
        begun = time.perf_counter()
        product(one, one)
        wait(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


def _whole_product(one: Tensor, other: Tensor) -> Tensor:
    """Multiply matrices of 8-bit integers; the sums have 32 bits."""
    return torch.ops.aten._int_mm(one, other)


def flop_counter() -> FlopCounterMode:
    """Return torch's counter of floating-point operations, with grouped convolutions counted right.

    torch 2.13 and earlier count the gradient of a grouped convolution's weights as that of a dense one: a
    depthwise convolution of 96 channels as 96 times what it computes.
    """
    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
    )


def _convolution_backward(
    grad_shape: Sequence[int],
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    """Count a convolution's backward pass: each of its two gradients costs as much as the forward pass."""
    forward = conv_flop_count(list(x_shape), list(w_shape), list(grad_shape), transposed=transposed)
    return forward * sum(map(bool, output_mask[:2]))


def fast_dtype(device: torch.device) -> tuple[torch.dtype, str]:
    """Return what a device computes faster in than float32, else float32, and why."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return torch.bfloat16, "its tensor cores take bfloat16"
        return torch.float16, "it has no bfloat16"
    if device.type == "mps":
        return torch.float16, "it is twice as fast"
    if device.type == "npu":
        return torch.bfloat16, "its cores take bfloat16"
    if device.type == "cpu":
        capabilities = _cpu_capabilities()
        if any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")):
            return torch.bfloat16, "the CPU multiplies bfloat16"
        return torch.float32, "the CPU has no instructions for bfloat16 (avx512_bf16)"
    return torch.float32, f"it is not known what {device.type} is faster in"


def _cpu_capabilities() -> dict[str, Any]:
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        return ask()
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return {"avx512_bf16": bool(known and known())}


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def forget_peak(device: torch.device) -> None:
    """Begin to look for the peak of the memory here."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int:
    """Return the memory at its peak: of the device, or of this process where that is the CPU.

    Windows does not tell that of a process, and it is 0.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        return _status("VmHWM")
    try:
        import resource
    except ImportError:
        return 0
    # macOS counts bytes, other systems kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def used_bytes(device: torch.device) -> int:
    """Return the memory in use, of the same kind as `peak_bytes`, after what nobody needs is given back."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated(device)
    with suppress(OSError, AttributeError):
        # What the C library keeps of freed memory would hide what comes next.
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError, StopIteration):
        return _status("VmRSS")
    return peak_bytes(device)


def _status(field: str) -> int:
    lines = _STATUS.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


# The memory that this process may have, which is not what the machine has.
#
# A container's share is a limit of its control groups (cgroup v1 and v2); a process that passes it is ended,
# however much the machine has left.

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


# As many threads as the process may use cores, which is not what the machine has.
#
# A container's share is a quota of processor time (cgroup v1 and v2) that the count of cores does not
# show; threads beyond it only wait for each other.

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


# Where to compute.


def default_device() -> torch.device:
    """Return the accelerator that torch sees, else the CPU."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def parse_device(name: str | torch.device | None) -> torch.device:
    """Return the device a person named, or the default one.

    Raises:
        OptionError: torch knows no such device, this machine has none, or it computes nothing (``meta``).
    """
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("tensors there have no values")
        # What has memory need not be able to compute, nor to tell what it computed.
        (torch.ones(1, device=device) + 1).item()
    except (RuntimeError, AssertionError, ImportError, TypeError, ValueError) as error:
        found = default_device()
        others = "cpu" if found.type == "cpu" else f"cpu and {found.type}"
        why = f"{_reason(error)} (this machine has {others})"
        raise OptionError(f"device {shown(name)} cannot be used: {why}") from error
    return device


def _reason(error: Exception) -> str:
    """Return the first sentence of what torch says, without its list of every device there ever was."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return "torch knows no such device" if "device string" in text else text.split(". ")[0]
