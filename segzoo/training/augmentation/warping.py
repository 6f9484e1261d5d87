"""Image and mask read from moved places: the image between pixels, the mask at the nearest one."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import grid_sample

from segzoo.training.augmentation.options import option, read_choice, read_limit, read_share
from segzoo.training.augmentation.resizing import writable
from segzoo.training.augmentation.step import Step, uniform

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.training.augmentation.step import Bytes, Pair

read_fill = read_choice("mirror", "ignore")


@dataclass(frozen=True, kw_only=True)
class Rotate(Step):
    """A rotation about the middle by any angle; the size stays.

    Attributes:
        degrees: greatest angle either way, or ``[least, most]``, counter-clockwise.
        fill: what comes in at the corners: the image's ``mirror`` image, or black pixels to ``ignore``.
        probability: how often it is done.
    """

    degrees: tuple[float, float] = option(read_limit(360), 15)
    fill: str = option(read_fill, "mirror")
    probability: float = option(read_share, 1.0)

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, rotated."""
        angle, (height, width) = radians(uniform(random, self.degrees)), mask.shape
        y = torch.arange(height).float()[:, None] - (height - 1) / 2
        x = torch.arange(width).float()[None] - (width - 1) / 2
        rows = sin(angle) * x + cos(angle) * y + (height - 1) / 2
        columns = cos(angle) * x - sin(angle) * y + (width - 1) / 2
        return warped(image, mask, rows, columns, ignore if self.fill == "ignore" else None)

    def ignores(self) -> str:
        """Return the setting by which the corners count for nothing, or ``""``."""
        return "fill" if self.fill == "ignore" else ""


def warped(image: Bytes, mask: Bytes, rows: Tensor, columns: Tensor, ignore: int | None) -> Pair:
    """Return for each pixel what lies at its row and column, given as ``(H, W)`` float32 in pixels.

    Places outside are mirrored; where ``ignore`` is a number they are black, and ``ignore`` in the mask.
    """
    height, width = mask.shape
    across = (columns + 0.5) * (2 / width) - 1
    down = (rows + 0.5) * (2 / height) - 1
    grid = torch.stack((across, down), dim=-1)[None]
    pixels = torch.from_numpy(writable(image)).movedim(-1, 0).to(torch.float32, copy=True)[None].contiguous()
    pixels = grid_sample(pixels, grid, "bilinear", "reflection", align_corners=False)
    classes = torch.from_numpy(writable(mask).astype(np.float32))[None, None]
    classes = grid_sample(classes, grid, "nearest", "reflection", align_corners=False)
    image = pixels[0].round_().clamp_(0, 255).byte().movedim(0, -1).contiguous().numpy()
    # Floats hold indices of 16 bits exactly.
    mask = classes[0, 0].round_().int().numpy().astype(mask.dtype)
    if ignore is not None:
        outside = ((across.abs() > 1) | (down.abs() > 1)).numpy()
        image[outside], mask[outside] = 0, ignore
    return image, mask
