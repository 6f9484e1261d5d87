"""What memory a forward takes: counted, and measured where the machine tells.

Counted is what the network's tensors hold at the same time while it runs on small images, plus what
the largest operation may hold twice, since a convolution reorders what it reads and writes. Measured is by
how much the process (Linux), or the accelerator's allocator, grew over its level before. The larger of the
two counts, with a tenth more. Twice as much on a processor: what the C library's allocator keeps of tensors
below 32 MB, in holes that the next one does not fit, came to 0.7 of what they hold.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

#: Side of the image that is measured.
SIDE = 64
#: Side of the one before, which pays for what is made once.
_FIRST = 32
_GAPS = {"cpu": 2.0}
_FEW_GAPS = 1.1
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def forward_bytes(
    run: Callable[[Tensor], Tensor], in_channels: int, grid: int, device: torch.device, counted: float
) -> tuple[int, float]:
    """Return what a first forward takes whatever the size, and what any takes for each pixel, in bytes.

    Args:
        run: the engine, or the network itself.
        in_channels: of its images.
        grid: of the network.
        device: where it runs.
        counted: bytes a pixel that its tensors hold, as `Count` finds them.
    """
    first, second = (-(-side // grid) * grid for side in (_FIRST, SIDE))
    fixed, grown = _grown(run, in_channels, (first, second), device)
    # What is made once, such as packed weights, was there the second time.
    per_pixel = max(counted, (grown - fixed) / (second**2 - first**2))
    return fixed, _GAPS.get(device.type, _FEW_GAPS) * per_pixel


class Count(TorchDispatchMode):
    """Adds up what tensors hold while they live; the most is ``peak``, in bytes, without what was there."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Torch would import its compiler to be told not to compile this, two seconds and 100 MB.
        return False

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._take(tensor.untyped_storage())
        # What a convolution reads and writes may be there twice, in another order.
        copied = (args[0], result) if "conv" in str(func) else ()
        copies = sum(tensor.untyped_storage().nbytes() for tensor in _tensors(copied))
        self.peak = max(self.peak, self.held + copies)
        return result

    def _take(self, storage: Any) -> None:
        key = storage._cdata
        if key in self.known:
            return
        self.known.add(key)
        size = storage.nbytes()
        self.held += size
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.held -= size


def _grown(
    run: Callable[[Tensor], Tensor], in_channels: int, sides: tuple[int, int], device: torch.device
) -> tuple[int, int]:
    """Return by how much the process grew for the first image, and for the second; 0 where none tells."""
    level = _level(device)
    if level is None:
        return 0, 0
    peaks = []
    with torch.inference_mode():
        for side in sides:
            _forget_peak(device)
            run(torch.zeros(1, in_channels, side, side, device=device))
            peaks.append(max(0, _peak(device) - level))
    return peaks[0], peaks[1]


def _level(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type != "cpu" or not _forget_peak(device):
        return None
    return _status("VmRSS")


def _forget_peak(device: torch.device) -> bool:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def _status(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
