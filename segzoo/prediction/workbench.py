"""What all runs of a benchmark share: a network, an image in a file, and what is done with the two."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from PIL import Image

from segzoo.allocation import machine_bytes
from segzoo.errors import OptionError
from segzoo.files import write_whole
from segzoo.images import read, read_reduced
from segzoo.machine import fast_dtype, flop_counter, peak_flops
from segzoo.prediction.engines import make_engine
from segzoo.prediction.plain import config_of
from segzoo.prediction.preparing import network_input
from segzoo.prediction.rendering.encoding import png_of_indices
from segzoo.prediction.restoring import to_mask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from segzoo.config import ModelConfig
    from segzoo.images import Placement
    from segzoo.prediction.engines import Backend, Engine, Precision

#: PyTorch as it is, float32: what the others are held against.
EAGER = "eager"


class Bench:
    """What every run has in common: the network, its image as a file, and what becomes of that.

    Args:
        network: on its device.
        image: a file, or nothing to make a picture up.
        size: of that.
        folder: to write into.
        batch: images in `input`.

    Attributes:
        shape: height and width of the image.
        placement: where it lies in what the network sees.
        input: the image preprocessed, so many times.
        operations: floating-point operations for one image.
    """

    def __init__(
        self, network: nn.Module, image: Path | None, size: tuple[int, int], folder: Path, batch: int
    ) -> None:
        self.network, self._folder, self._numbers = network, folder, count()
        self._peaks: dict[str, float] = {}
        self.config: ModelConfig = config_of(network)
        parameter = next(network.parameters(), torch.empty(0))
        self.device = parameter.device
        self.file = image or _made_up(size, self.config.architecture.in_channels, folder)
        pixels, self.shape = self.read(exact=True)
        one, self.placement = self.prepared(pixels, self.shape, exact=True)
        if batch * one.nbytes > machine_bytes():
            raise OptionError(
                f"batch={batch}: so many images of {self.shape[0]}x{self.shape[1]} fit no memory"
            )
        self.input = one.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), flop_counter() as counter:
            network(one.to(self.device))
        self.operations = float(counter.get_total_flops())

    def read(self, *, exact: bool) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """Return the image's pixels, where not ``exact`` perhaps fewer, and the size of the whole."""
        if not exact:
            return read_reduced(self.file, self.config.preprocessing.resize)
        pixels = read(self.file)
        return pixels, (pixels.shape[0], pixels.shape[1])

    def prepared(
        self, pixels: NDArray[np.uint8], size: tuple[int, int], *, exact: bool
    ) -> tuple[Tensor, Placement]:
        """Return the preprocessed image, and where the image lies in that."""
        return network_input(pixels, self.config, size=size, exact=exact)

    def engine(self, backend: str, precision: str, tell: Callable[[str], None]) -> Engine:
        """Make what a run runs."""
        if backend == EAGER:
            return _Eager(self.network, self.device)
        return make_engine(
            self.network,
            device=self.device,
            precision=cast("Precision", precision),
            backend=cast("Backend", backend),
            calibration=[self.input[:1]] if precision == "fastest" else (),
            tell=tell,
        )

    def peak(self, precision: str) -> float:
        """Return the best that was seen yet in a precision, or 0 where the machine cannot multiply so."""
        kind = ""
        if precision != "exact":
            low = {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(fast_dtype(self.device)[0], "")
            kind = "int8" if precision == "fastest" else low
        try:
            # A machine with other work has slow moments; the best of all that were seen is its peak.
            self._peaks[kind] = max(self._peaks.get(kind, 0.0), peak_flops(self.device, kind))
        except RuntimeError:
            return 0.0
        return self._peaks[kind]

    def restore(self, logits: Tensor) -> NDArray[np.uint8]:
        """Return the mask at the image's size."""
        return to_mask(logits, self.placement, self.shape, self.config).cpu().numpy()

    def write(self, mask: NDArray[np.uint8]) -> None:
        """Write a mask as ``segzoo predict`` does."""
        # Always a new file: some file systems wait for the disk where an old one is replaced.
        data = png_of_indices(mask, self.config.labels.colours)
        write_whole(self._folder / f"mask_{next(self._numbers)}.png", data)


class _Eager:
    """The network as PyTorch runs it."""

    description = "PyTorch as it is, float32"

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network, self.device = network, device

    def __call__(self, images: Tensor) -> Tensor:
        return self.network(images.to(self.device)).float()


def _made_up(size: tuple[int, int], channels: int, folder: Path) -> Path:
    """Write a picture with some detail, as photographs have it, and return its file."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (-(-size[0] // 16), -(-size[1] // 16), channels), np.uint8)
    fine = random.integers(-8, 9, (*size, channels))
    pixels = coarse.repeat(16, axis=0).repeat(16, axis=1)[: size[0], : size[1]] + fine
    pixels = pixels.clip(0, 255).astype(np.uint8)
    if channels not in (1, 3):
        np.save(folder / "image.npy", pixels)
        return folder / "image.npy"
    Image.fromarray(pixels.squeeze()).save(folder / "image.jpg", quality=90)
    return folder / "image.jpg"
