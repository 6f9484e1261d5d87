"""What this machine computes fastest in and reaches at best, and its memory at the peak; imports torch."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import platform
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from segzoo.errors import OptionError
from segzoo.options import shown
from segzoo.resources import usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


_KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_ASKED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


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
        if not any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")):
            return torch.float32, "the CPU has no instructions for bfloat16 (avx512_bf16)"
        # Intel's without AMX have the instructions, at half the speed of float32; AMD's at twice that.
        if _bfloat16_gain() < 1:
            return torch.float32, "the CPU multiplies bfloat16 more slowly than float32, as was measured"
        return torch.bfloat16, "the CPU multiplies bfloat16"
    return torch.float32, f"it is not known what {device.type} is faster in"


def _cpu_capabilities() -> dict[str, Any]:
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        return ask()
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return {"avx512_bf16": bool(known and known())}


@cache
def _bfloat16_gain() -> float:
    """Return how many times as fast a convolution is in bfloat16 as in float32, on this CPU.

    Both take turns, and the best of five counts, of time in which this thread ran: other work on the machine
    must not decide. Takes about 40 ms.
    """
    # Windows counts a thread's time in steps of 16 ms.
    clock = time.perf_counter if sys.platform == "win32" else time.thread_time
    best = {torch.float32: math.inf, torch.bfloat16: math.inf}
    with torch.no_grad():
        images, weight = torch.ones(1, 128, 32, 32, device="cpu"), torch.ones(128, 128, 3, 3, device="cpu")
        given = {kind: (images.to(kind), weight.to(kind)) for kind in best}
        for _ in range(6):  # the first of each makes its program
            for kind, (x, w) in given.items():
                begun = clock()
                torch.nn.functional.conv2d(x, w, padding=1)
                best[kind] = min(best[kind], clock() - begun)
    return best[torch.float32] / best[torch.bfloat16]


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def forget_peak(device: torch.device) -> bool:
    """Reset the peak memory; return whether `peak_bytes` will measure from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        _RESET.write_text("5")
        return device.type in ("cpu", "cuda")
    return device.type == "cuda"


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory in bytes: of the device, or of this process if the device is the CPU.

    It is 0 on Windows, where this is not available for a process.
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


def used_bytes(device: torch.device, *, tidy: bool = True) -> int:
    """Return the memory in use, of the same kind as `peak_bytes`.

    Args:
        device: device to measure.
        tidy: whether to free unused memory first, which would hide later use.
    """
    if tidy:
        _tidy(device)
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with suppress(OSError, StopIteration):
        return _status("VmRSS")
    return peak_bytes(device)


def _tidy(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return
    trim_memory()


def trim_memory() -> None:
    """Give back what the C library keeps of freed memory, for each thread apart."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(field: str) -> int:
    lines = _STATUS.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def use_cores() -> int:
    """Take threads from torch that the process has no core for, and return how many it then uses.

    It never adds any, and leaves alone what ``OMP_NUM_THREADS`` or ``MKL_NUM_THREADS`` asked for.
    """
    cores = usable_cores()
    if torch.get_num_threads() > cores and not any(name in os.environ for name in _ASKED):
        torch.set_num_threads(cores)
    return torch.get_num_threads()


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
        # A device that can allocate memory may still fail to compute, or to return the result.
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


def machine_in_words() -> str:
    """Describe this machine in a few words."""
    processor = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            named = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        processor = named[0] if named else processor
    except OSError:
        pass
    return f"{platform.system()}, {processor}, {torch.get_num_threads()} threads"
