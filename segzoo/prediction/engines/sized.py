"""Engines of other libraries: one program for all image sizes, or one per size if that is not possible."""

from __future__ import annotations

from collections import Counter, OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

import torch

from segzoo.blocks.sizes import mirror
from segzoo.errors import FailureError
from segzoo.prediction.engines.native import copied, make_native
from segzoo.prediction.engines.probing import deviation
from segzoo.printing import Detail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from segzoo.prediction.engines.native import NativeEngine

    #: Maps images ``(N, C, H, W)`` to logits, both float32.
    Program = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    #: Makes a program for one image size, given a network in eval mode and images of that size.
    Maker = Callable[[nn.Module, Tensor], Program]

#: Number of programs for single sizes that are kept; the least recently used is dropped first.
KEPT = 8
#: Number of shapes for which a program for all sizes is compared with torch; later shapes are trusted.
COMPARED = 4
#: Shapes with a shorter side than this are always compared: padding may differ for small images.
SMALL = 64


class SizedEngine:
    """Runs programs of another library on the CPU; see `segzoo.prediction.engines.Engine`.

    If there is no program for a size yet, or its result is wrong, torch computes instead; a message reports
    it.

    Args:
        network: the network; it is not changed.
        make: makes a program for one size.
        make_for_all: makes one program for all sizes, which is tried first; ``None`` if there is none.
        tolerance: largest difference from float32 logits, relative to the largest logit, on the first images
            of a size; ``None`` to skip the comparison.
        description: description in one line.
        on_message: called with each message about a size that torch computes.
        meanwhile: type that torch computes in if there is no program.
        multiple: images are padded by mirroring, below and to the right, to multiples of this size.
        patience: how often a size is seen before a program is made for it; the first size gets one at once.

    Attributes:
        exact: the torch engine in float32 that results are compared with.
        failed: whether torch had to compute a size.
    """

    def __init__(
        self,
        network: nn.Module,
        make: Maker,
        *,
        make_for_all: Callable[[nn.Module], Program] | None = None,
        tolerance: float | None,
        description: str,
        on_message: Callable[[str], None],
        meanwhile: torch.dtype = torch.float32,
        patience: int = 1,
        multiple: int = 1,
    ) -> None:
        self.device = torch.device("cpu")
        self.description = description
        self.exact: NativeEngine = make_native(
            network, device=self.device, dtype=torch.float32, on_message=on_message, frugal=True
        )
        self._make, self._tolerance, self._on_message = make, tolerance, on_message
        self._plain = copied(network, self.device)
        self._meanwhile, self._patience, self._multiple = meanwhile, patience, multiple
        self._otherwise: NativeEngine | None = None
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._programs: OrderedDict[tuple[int, ...], Program | None] = OrderedDict()
        self._make_for_all = make_for_all
        self._for_all: Program | None = None
        self._compared: dict[tuple[int, ...], bool] = {}
        self.failed = False
        self._lock = Lock()  # a program has one set of buffers

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` float32 to logits ``(N, K, H, W)`` float32."""
        images = images.to(self.device, torch.float32)
        with self._lock:
            height, width = images.shape[-2:]
            size = self._rounded(height), self._rounded(width)
            taken = images if size == (height, width) else mirror(images, *size, 0, 0)
            program = self._program(taken)
            if program is None:
                return self._without(images)
            return torch.from_numpy(program(taken.contiguous().numpy()))[..., :height, :width]

    def _rounded(self, side: int) -> int:
        return -(-side // self._multiple) * self._multiple

    def _program(self, images: Tensor) -> Program | None:
        size = tuple(images.shape)
        if self._has_for_all():
            return self._for_all if self._agrees(images) else None
        if size not in self._programs:
            self._seen[size] += 1
            if self._programs and self._seen[size] < self._patience:
                if self._seen[size] == 1:
                    self._on_message(
                        Detail(
                            f"images of {_told(size)}: using {self._torch()} until {self._patience} have come"
                        )
                    )
                return None
            self._programs[size] = self._checked(images)
            if len(self._programs) > KEPT:
                self._programs.popitem(last=False)
        self._programs.move_to_end(size)
        return self._programs[size]

    def _has_for_all(self) -> bool:
        """Whether there is a program for all sizes; the first images trigger its making."""
        if self._make_for_all is not None:
            try:
                self._for_all = self._make_for_all(self._plain)
            except Exception as error:
                why = _why(error)
                text = f"{self.description}: one program per size, because none fits all ({why})"
                self._on_message(Detail(text))
            self._make_for_all = None
        return self._for_all is not None

    def _agrees(self, images: Tensor) -> bool:
        """Whether the program for all sizes agrees with torch on images of this shape."""
        size, known = tuple(images.shape), self._compared
        if size not in known:
            if len(known) >= COMPARED and min(size[-2:]) >= SMALL and all(known.values()):
                return True
            assert self._for_all is not None
            known[size] = self._fits(self._for_all, images) is not None
        return known[size]

    def _checked(self, images: Tensor) -> Program | None:
        try:
            program = self._make(self._plain, images)
        # If another library fails on a network, torch can still run it.
        except Exception as error:
            return self._refused(images, error)
        return self._fits(program, images)

    def _fits(self, program: Program, images: Tensor) -> Program | None:
        """Return a program if it agrees with torch on these images, else report why not."""
        try:
            found = torch.from_numpy(program(images.contiguous().numpy()))
            if self._tolerance is not None:
                off = deviation(found, self.exact(images))
                if off > self._tolerance:
                    raise FailureError(f"logits differ by {off:.1e} relative to the largest")
        except Exception as error:
            return self._refused(images, error)
        return program

    def _refused(self, images: Tensor, error: Exception) -> None:
        self.failed = True
        size = _told(images.shape)
        text = f"images of {size}: using {self._torch()} instead of {self.description} ({_why(error)})"
        self._on_message(Detail(text))

    def _without(self, images: Tensor) -> Tensor:
        if self._meanwhile is torch.float32:
            return self.exact(images)
        if self._otherwise is None:
            self._otherwise = make_native(
                self._plain, device=self.device, dtype=self._meanwhile, on_message=self._on_message
            )
        return self._otherwise(images)

    def _torch(self) -> str:
        return f"torch in {str(self._meanwhile).removeprefix('torch.')}"


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def _told(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
