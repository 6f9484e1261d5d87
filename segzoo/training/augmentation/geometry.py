"""Flips and turns by right angles: pixels change places and keep their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import cos, radians, sin
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import grid_sample, interpolate

from segzoo.errors import OptionError
from segzoo.training.augmentation.blurring import in_type_of, smoothed
from segzoo.training.augmentation.sizes import writable
from segzoo.training.augmentation.step import (
    Step,
    option,
    read_choice,
    read_limit,
    read_number,
    read_share,
    read_whole,
    uniform,
)

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.training.augmentation.step import Pair, Pixels, Size


@dataclass(frozen=True, kw_only=True)
class Flip(Step):
    """A flip from left to right, one from top to bottom, or both.

    Attributes:
        horizontal: how often left and right are swapped.
        vertical: how often top and bottom are.
    """

    horizontal: float = option(read_share, 0.5)
    vertical: float = option(read_share, 0.0)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, flipped."""
        del ignore
        across, down = random.random(2) < (self.horizontal, self.vertical)
        order = slice(None, None, -1 if down else 1), slice(None, None, -1 if across else 1)
        return image[order], mask[order]


def _read_angles(key: str, value: Any) -> tuple[int, ...]:
    angles = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if not angles or any(isinstance(a, bool) or a not in (0, 90, 180, 270) for a in angles):
        raise OptionError(f"{key} must be a list of 0, 90, 180 and 270, got {value!r}")
    return tuple(int(angle) for angle in angles)


@dataclass(frozen=True, kw_only=True)
class Turn(Step):
    """A turn by right angles, counter-clockwise.

    Attributes:
        angles: in degrees, all as likely.
        probability: how often it is done.
    """

    angles: tuple[int, ...] = option(_read_angles, (0, 90, 180, 270))
    probability: float = option(read_share, 1.0)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, turned."""
        del ignore
        turns = self.angles[int(random.integers(len(self.angles)))] // 90
        return np.rot90(image, turns), np.rot90(mask, turns)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the size after it: none that is certain where height and width may be swapped."""
        lying = {angle % 180 == 90 for angle in self.angles} | ({False} if self.probability < 1 else set())
        if before is None or lying == {False} or not self.probability or before[0] == before[1]:
            return before
        return None if False in lying else (before[1], before[0])


# Image and mask read from moved places: the image between pixels, the mask at the nearest one.

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

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
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


def warped(image: Pixels, mask: Pixels, rows: Tensor, columns: Tensor, ignore: int | None) -> Pair:
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
    image = in_type_of(image, pixels[0]).movedim(0, -1).contiguous().numpy()
    # Floats hold indices of 16 bits exactly.
    mask = classes[0, 0].round_().int().numpy().astype(mask.dtype)
    if ignore is not None:
        outside = ((across.abs() > 1) | (down.abs() > 1)).numpy()
        image[outside], mask[outside] = 0, ignore
    return image, mask


# Elastic deformation, by two papers' fields of displacements.
#
# Papers: Ronneberger et al., 2015, arXiv:1505.04597, section 3.1, displaces a coarse 3x3 grid by normally
# distributed vectors with a standard deviation of 10 pixels, and every pixel by bicubic interpolation between
# them. Simard et al., Best practices for convolutional neural networks applied to visual document analysis,
# 2003, smooths a field of uniformly distributed vectors with a Gaussian, and multiplies it.


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

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
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

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, deformed."""
        field = torch.from_numpy(random.random((2, *mask.shape), np.float32) * 2 - 1)
        return displaced(
            image, mask, smoothed(field, self.sigma) * self.alpha, ignore if self.fill == "ignore" else None
        )

    def ignores(self) -> str:
        """Return the setting by which what comes from outside counts for nothing, or ``""``."""
        return "fill" if self.fill == "ignore" else ""


def displaced(image: Pixels, mask: Pixels, moved: Tensor, ignore: int | None) -> Pair:
    """Return image and mask, read from where each pixel is moved to, ``(2, H, W)`` rows and columns."""
    height, width = mask.shape
    rows = torch.arange(height)[:, None] + moved[0]
    columns = torch.arange(width)[None] + moved[1]
    return warped(image, mask, rows, columns, ignore)
