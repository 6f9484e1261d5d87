"""Steps that move pixels: flips and turns keep their values, warps read the image between pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import cos, radians, sin, tan
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import grid_sample, interpolate

from segzoo.errors import OptionError
from segzoo.training.augmentation.blurring import in_type_of, smoothed
from segzoo.training.augmentation.sizes import writable
from segzoo.training.augmentation.step import (
    Step,
    log_uniform,
    option,
    read_choice,
    read_factors,
    read_limit,
    read_number,
    read_share,
    read_whole,
    uniform,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
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


@dataclass(frozen=True, kw_only=True)
class Warp(Step):
    """A step that reads image and mask from moved places.

    Attributes:
        fill: what comes in from outside: the image's ``mirror`` image, or black pixels to ``ignore``.
        probability: how often it is done.
    """

    fill: str = option(read_choice("mirror", "ignore"), "mirror")
    probability: float = option(read_share, 1.0)

    def warped(self, image: Pixels, mask: Pixels, rows: Tensor, columns: Tensor, ignore: int | None) -> Pair:
        """Return image and mask, read from moved places, with what the step's ``fill`` says outside."""
        return warped(image, mask, rows, columns, ignore if self.fill == "ignore" else None)

    def transformed(self, image: Pixels, mask: Pixels, matrix: NDArray[Any], ignore: int | None) -> Pair:
        """Return image and mask under a projective map.

        Args:
            image: ``(H, W, C)``.
            mask: ``(H, W)``.
            matrix: ``(3, 3)``, from ``(x, y, 1)`` of a pixel that comes out to where it is read, both in
                pixels from the middle.
            ignore: the mask's value for pixels that count for nothing, if there is one.
        """
        height, width = mask.shape
        y = torch.arange(height).float()[:, None] - (height - 1) / 2
        x = torch.arange(width).float()[None] - (width - 1) / 2
        columns, rows, depth = (float(a) * x + float(b) * y + float(c) for a, b, c in matrix)
        if matrix[2, 0] or matrix[2, 1]:
            columns, rows = columns / depth, rows / depth
        return self.warped(image, mask, rows + (height - 1) / 2, columns + (width - 1) / 2, ignore)

    def ignores(self) -> str:
        """Return the setting by which pixels from outside count for nothing, or ``""``."""
        return "fill" if self.fill == "ignore" else ""


@dataclass(frozen=True, kw_only=True)
class Rotate(Warp):
    """A rotation about the middle by any angle; the size stays.

    Attributes:
        degrees: greatest angle either way, or ``[least, most]``, counter-clockwise.
        fill: what comes in at the corners: the image's ``mirror`` image, or black pixels to ``ignore``.
        probability: how often it is done.
    """

    degrees: tuple[float, float] = option(read_limit(360), 15)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, rotated."""
        return self.transformed(image, mask, _rotation(uniform(random, self.degrees)), ignore)


@dataclass(frozen=True, kw_only=True)
class Affine(Warp):
    """A magnification, shears, a rotation and a shift, in this order, about the middle; the size stays.

    Attributes:
        degrees: greatest angle either way, or ``[least, most]``, counter-clockwise.
        scale: by what the image is magnified; twice is as likely as half.
        shear: greatest angle of the shear along each side, or ``[least, most]``, in degrees.
        translate: greatest shift along each side, or ``[least, most]``, as a share of the side.
        fill: what comes in from outside: the image's ``mirror`` image, or black pixels to ``ignore``.
        probability: how often it is done.
    """

    degrees: tuple[float, float] = option(read_limit(360), 15)
    scale: tuple[float, float] = option(read_factors, (0.8, 1.25))
    shear: tuple[float, float] = option(read_limit(60), 10)
    translate: tuple[float, float] = option(read_limit(1), 0.1)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, transformed."""
        rotation = _rotation(uniform(random, self.degrees))
        scale = 1 / log_uniform(random, self.scale)
        across, down = (tan(radians(angle)) for angle in random.uniform(*self.shear, 2))
        right, below = random.uniform(*self.translate, 2) * mask.shape[::-1]
        shears = np.array([[1, across, 0], [0, 1, 0], [0, 0, 1]]) @ [[1, 0, 0], [down, 1, 0], [0, 0, 1]]
        shift = np.array([[1, 0, -right], [0, 1, -below], [0, 0, 1]])
        return self.transformed(image, mask, np.diag([scale, scale, 1]) @ shears @ rotation @ shift, ignore)


@dataclass(frozen=True, kw_only=True)
class Perspective(Warp):
    """The image as seen from another side: each of its corners is moved by itself.

    Attributes:
        distortion: most by which a corner is moved along each side, either way, as a share of the side.
        fill: what comes in from outside: the image's ``mirror`` image, or black pixels to ``ignore``.
        probability: how often it is done.
    """

    # From a quarter on, corners could change places.
    distortion: float = option(partial(read_number, low=0, high=0.24), 0.1)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, seen from another side."""
        height, width = mask.shape
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        moved = corners + random.uniform(-self.distortion, self.distortion, (4, 2))
        return self.transformed(
            image, mask, _projection(corners * (width, height), moved * (width, height)), ignore
        )


def _rotation(degrees: float) -> NDArray[Any]:
    angle = radians(degrees)
    return np.array([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1]])


def _projection(places: NDArray[Any], images: NDArray[Any]) -> NDArray[Any]:
    """Return the projective map ``(3, 3)`` that takes four places ``(x, y)`` to their images."""
    equations, wanted = [], []
    for (x, y), (u, v) in zip(places, images, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    return np.append(np.linalg.solve(np.array(equations), np.array(wanted)), 1).reshape(3, 3)


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
class Elastic(Warp):
    """A smooth deformation, as in the U-Net paper.

    Attributes:
        points: of the coarse grid, along each side; the outermost lie on the image's border.
        sigma: standard deviation of their displacements, in pixels.
        fill: what comes in from outside: the image's ``mirror`` image, or black pixels to ``ignore``.
        probability: how often it is done.
    """

    points: int = option(partial(read_whole, low=2), 3)
    sigma: float = option(partial(read_number, low=0, high=1000), 10)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, deformed."""
        nodes = random.standard_normal((1, 2, self.points, self.points), np.float32) * np.float32(self.sigma)
        moved = interpolate(torch.from_numpy(nodes), size=mask.shape, mode="bicubic", align_corners=True)
        return self.warped(image, mask, *displaced(moved[0]), ignore)


@dataclass(frozen=True, kw_only=True)
class ElasticSmooth(Warp):
    """A fine deformation, as Simard's.

    Attributes:
        alpha: what the smoothed field is multiplied by, in pixels.
        sigma: of the Gaussian that smooths it, in pixels.
        fill: as of `Elastic`.
        probability: how often it is done.
    """

    alpha: float = option(partial(read_number, low=0, high=10_000), 34)
    sigma: float = option(partial(read_number, low=0.1, high=100), 4)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, deformed."""
        field = torch.from_numpy(random.random((2, *mask.shape), np.float32) * 2 - 1)
        moved = smoothed(field, self.sigma) * self.alpha
        return self.warped(image, mask, *displaced(moved), ignore)


def displaced(moved: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows and columns that pixels are read from, ``moved`` being ``(2, H, W)`` of differences."""
    height, width = moved.shape[1:]
    return torch.arange(height)[:, None] + moved[0], torch.arange(width)[None] + moved[1]
