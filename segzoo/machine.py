"""What this machine reaches at best, and the memory that was in use at the peak; imports torch."""

from __future__ import annotations

import ctypes
import gc
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

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
    if kind is torch.int8:
        whole = torch.randint(-127, 128, (side, side), dtype=kind, device=device)
        product: Callable[[], object] = lambda: torch.ops.aten._int_mm(whole, whole)  # noqa: E731
    else:
        one = torch.randn(side, side, device=device).to(kind)
        product = lambda: one @ one  # noqa: E731
    best = float("inf")
    for _ in range(5):
        wait(device)
        begun = time.perf_counter()
        product()
        wait(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


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
    """Return the memory at its peak: of the device, or of this process where that is the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        return _status("VmHWM")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
