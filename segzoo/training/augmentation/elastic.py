"""Elastic deformation, by two papers' fields of displacements.

Papers: Ronneberger et al., 2015, arXiv:1505.04597, section 3.1, displaces a coarse 3x3 grid by normally
distributed vectors with a standard deviation of 10 pixels, and every pixel by bicubic interpolation between
them. Simard et al., Best practices for convolutional neural networks applied to visual document analysis,
2003, smooths a field of uniformly distributed vectors with a Gaussian, and multiplies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from segzoo.training.augmentation.blurring import smoothed
from segzoo.training.augmentation.options import option, read_number, read_share, read_whole
from segzoo.training.augmentation.step import Step
from segzoo.training.augmentation.warping import read_fill, warped

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.training.augmentation.step import Bytes, Pair


@dataclass(frozen=True, kw_only=True)
class Elastic(Step):
    """A smooth deformation, as in the U-Net paper.

    Attributes:
        points: of the coarse grid, along each side; the outermost lie on the image's border.
        sigma: standard deviation of their displacements, in pixels.
        fill: what comes in from outside: the image's ``mirror`` image, or black pixels to ``ignore``.
        probability: how often it is done.
    """

    points: int = option(partial(read_whole, low=2), 3)
    sigma: float = option(partial(read_number, low=0, high=1000), 10)
    fill: str = option(read_fill, "mirror")
    probability: float = option(read_share, 1.0)

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, deformed."""
        nodes = random.standard_normal((1, 2, self.points, self.points), np.float32) * np.float32(self.sigma)
        moved = interpolate(torch.from_numpy(nodes), size=mask.shape, mode="bicubic", align_corners=True)
        return displaced(image, mask, moved[0], ignore if self.fill == "ignore" else None)

    def ignores(self) -> str:
        """Return the setting by which what comes from outside counts for nothing, or ``""``."""
        return "fill" if self.fill == "ignore" else ""


@dataclass(frozen=True, kw_only=True)
class ElasticSmooth(Step):
    """A fine deformation, as Simard's.

    Attributes:
        alpha: what the smoothed field is multiplied by, in pixels.
        sigma: of the Gaussian that smooths it, in pixels.
        fill: as of `Elastic`.
        probability: how often it is done.
    """

    alpha: float = option(partial(read_number, low=0, high=10_000), 34)
    sigma: float = option(partial(read_number, low=0.1, high=100), 4)
    fill: str = option(read_fill, "mirror")
    probability: float = option(read_share, 1.0)

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, deformed."""
        field = torch.from_numpy(random.random((2, *mask.shape), np.float32) * 2 - 1)
        return displaced(
            image, mask, smoothed(field, self.sigma) * self.alpha, ignore if self.fill == "ignore" else None
        )

    def ignores(self) -> str:
        """Return the setting by which what comes from outside counts for nothing, or ``""``."""
        return "fill" if self.fill == "ignore" else ""


def displaced(image: Bytes, mask: Bytes, moved: Tensor, ignore: int | None) -> Pair:
    """Return image and mask, read from where each pixel is moved to, ``(2, H, W)`` rows and columns."""
    height, width = mask.shape
    rows = torch.arange(height)[:, None] + moved[0]
    columns = torch.arange(width)[None] + moved[1]
    return warped(image, mask, rows, columns, ignore)
