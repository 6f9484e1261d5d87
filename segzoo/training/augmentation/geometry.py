"""Steps that move pixels: flips and right-angle rotations keep their values, warps interpolate."""

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
    """A horizontal flip, a vertical flip, or both.

    Attributes:
        horizontal: probability of swapping left and right.
        vertical: probability of swapping top and bottom.
    """

    horizontal: float = option(read_share, 0.5)
    vertical: float = option(read_share, 0.0)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return the flipped image and mask."""
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
    """A counter-clockwise rotation by right angles.

    Attributes:
        angles: angles in degrees, all equally likely.
        probability: probability of applying the step.
    """

    angles: tuple[int, ...] = option(_read_angles, (0, 90, 180, 270))
    probability: float = option(read_share, 1.0)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return the rotated image and mask."""
        del ignore
        turns = self.angles[int(random.integers(len(self.angles)))] // 90
        return np.rot90(image, turns), np.rot90(mask, turns)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the size afterwards: ``None`` if height and width may be swapped."""
        lying = {angle % 180 == 90 for angle in self.angles} | ({False} if self.probability < 1 else set())
        if before is None or lying == {False} or not self.probability or before[0] == before[1]:
            return before
        return None if False in lying else (before[1], before[0])


# Image and mask, sampled at moved positions: the image interpolated, the mask at the nearest pixel.


@dataclass(frozen=True, kw_only=True)
class Warp(Step):
    """A step that samples image and mask at moved positions.

    Attributes:
        fill: content from outside the image: its ``mirror`` image, or black with the mask set to ``ignore``.
        probability: probability of applying the step.
    """

    fill: str = option(read_choice("mirror", "ignore"), "mirror")
    probability: float = option(read_share, 1.0)

    def warped(self, image: Pixels, mask: Pixels, rows: Tensor, columns: Tensor, ignore: int | None) -> Pair:
        """Return image and mask, sampled at moved positions; the step's ``fill`` defines the outside."""
        return warped(image, mask, rows, columns, ignore if self.fill == "ignore" else None)

    def transformed(self, image: Pixels, mask: Pixels, matrix: NDArray[Any], ignore: int | None) -> Pair:
        """Return image and mask under a projective transformation.

        Args:
            image: ``(H, W, C)``.
            mask: ``(H, W)``.
            matrix: ``(3, 3)``, maps ``(x, y, 1)`` of an output pixel to its position in the input, both in
                pixels from the centre.
            ignore: the mask's value for ignored pixels, if there is one.
        """
        height, width = mask.shape
        y = torch.arange(height).float()[:, None] - (height - 1) / 2
        x = torch.arange(width).float()[None] - (width - 1) / 2
        columns, rows, depth = (float(a) * x + float(b) * y + float(c) for a, b, c in matrix)
        if matrix[2, 0] or matrix[2, 1]:
            columns, rows = columns / depth, rows / depth
        return self.warped(image, mask, rows + (height - 1) / 2, columns + (width - 1) / 2, ignore)

    def ignores(self) -> str:
        """Return the setting that makes pixels from outside ignored, or ``""``."""
        return "fill" if self.fill == "ignore" else ""


@dataclass(frozen=True, kw_only=True)
class Rotate(Warp):
    """A rotation about the centre by any angle; the size does not change.

    Attributes:
        degrees: maximum angle in either direction, or ``[minimum, maximum]``, counter-clockwise.
        fill: content of the corners: the image's ``mirror`` image, or black with the mask set to ``ignore``.
        probability: probability of applying the step.
    """

    degrees: tuple[float, float] = option(read_limit(360), 15)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return the rotated image and mask."""
        return self.transformed(image, mask, _rotation(uniform(random, self.degrees)), ignore)


@dataclass(frozen=True, kw_only=True)
class Affine(Warp):
    """Scale, shear, rotation and shift, in this order, about the centre; the size does not change.

    Attributes:
        degrees: maximum angle in either direction, or ``[minimum, maximum]``, counter-clockwise.
        scale: minimum and maximum magnification, drawn on a logarithmic scale.
        shear: maximum shear angle along each side, or ``[minimum, maximum]``, in degrees.
        translate: maximum shift along each side, or ``[minimum, maximum]``, as a share of the side.
        fill: content from outside the image: its ``mirror`` image, or black with the mask set to ``ignore``.
        probability: probability of applying the step.
    """

    degrees: tuple[float, float] = option(read_limit(360), 15)
    scale: tuple[float, float] = option(read_factors, (0.8, 1.25))
    shear: tuple[float, float] = option(read_limit(60), 10)
    translate: tuple[float, float] = option(read_limit(1), 0.1)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return the transformed image and mask."""
        rotation = _rotation(uniform(random, self.degrees))
        scale = 1 / log_uniform(random, self.scale)
        across, down = (tan(radians(angle)) for angle in random.uniform(*self.shear, 2))
        right, below = random.uniform(*self.translate, 2) * mask.shape[::-1]
        shears = np.array([[1, across, 0], [0, 1, 0], [0, 0, 1]]) @ [[1, 0, 0], [down, 1, 0], [0, 0, 1]]
        shift = np.array([[1, 0, -right], [0, 1, -below], [0, 0, 1]])
        return self.transformed(image, mask, np.diag([scale, scale, 1]) @ shears @ rotation @ shift, ignore)


@dataclass(frozen=True, kw_only=True)
class Perspective(Warp):
    """A change of perspective: each corner of the image moves independently.

    Attributes:
        distortion: maximum shift of a corner along each side, in either direction, as a share of the side.
        fill: content from outside the image: its ``mirror`` image, or black with the mask set to ``ignore``.
        probability: probability of applying the step.
    """

    # Corners could swap places from a quarter on.
    distortion: float = option(partial(read_number, low=0, high=0.24), 0.1)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask in another perspective."""
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
    """Return the projective map ``(3, 3)`` that takes four points ``(x, y)`` to their images."""
    equations, wanted = [], []
    for (x, y), (u, v) in zip(places, images, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    return np.append(np.linalg.solve(np.array(equations), np.array(wanted)), 1).reshape(3, 3)


def warped(image: Pixels, mask: Pixels, rows: Tensor, columns: Tensor, ignore: int | None) -> Pair:
    """Return, for each pixel, the value at its row and column, given as ``(H, W)`` float32 in pixels.

    Positions outside are mirrored; if ``ignore`` is a number, they are black, and ``ignore`` in the mask.
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
    # Floats hold 16-bit indices exactly.
    mask = classes[0, 0].round_().int().numpy().astype(mask.dtype)
    if ignore is not None:
        outside = ((across.abs() > 1) | (down.abs() > 1)).numpy()
        image[outside], mask[outside] = 0, ignore
    return image, mask


# Elastic deformation, with the displacement fields of two papers.
#
# Papers: Ronneberger et al., 2015, arXiv:1505.04597, section 3.1, displaces a coarse 3x3 grid by normally
# distributed vectors with a standard deviation of 10 pixels, and every pixel by bicubic interpolation between
# them. Simard et al., Best practices for convolutional neural networks applied to visual document analysis,
# 2003, smooths a field of uniformly distributed vectors with a Gaussian, and multiplies it.


@dataclass(frozen=True, kw_only=True)
class Elastic(Warp):
    """A smooth deformation, as in the U-Net paper.

    Attributes:
        points: number of points of the coarse grid along each side; the outermost lie on the image's border.
        sigma: standard deviation of their displacements, in pixels.
        fill: content from outside the image: its ``mirror`` image, or black with the mask set to ``ignore``.
        probability: probability of applying the step.
    """

    points: int = option(partial(read_whole, low=2), 3)
    sigma: float = option(partial(read_number, low=0, high=1000), 10)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return the deformed image and mask."""
        nodes = random.standard_normal((1, 2, self.points, self.points), np.float32) * np.float32(self.sigma)
        moved = interpolate(torch.from_numpy(nodes), size=mask.shape, mode="bicubic", align_corners=True)
        return self.warped(image, mask, *displaced(moved[0]), ignore)


@dataclass(frozen=True, kw_only=True)
class ElasticSmooth(Warp):
    """A fine elastic deformation, as in Simard's paper.

    Attributes:
        alpha: factor of the smoothed field, in pixels.
        sigma: standard deviation of the Gaussian that smooths it, in pixels.
        fill: content from outside the image: its ``mirror`` image, or black with the mask set to ``ignore``.
        probability: probability of applying the step.
    """

    alpha: float = option(partial(read_number, low=0, high=10_000), 34)
    sigma: float = option(partial(read_number, low=0.1, high=100), 4)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return the deformed image and mask."""
        field = torch.from_numpy(random.random((2, *mask.shape), np.float32) * 2 - 1)
        moved = smoothed(field, self.sigma) * self.alpha
        return self.warped(image, mask, *displaced(moved), ignore)


def displaced(moved: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows and columns to sample, for displacements ``moved`` of shape ``(2, H, W)``."""
    height, width = moved.shape[1:]
    return torch.arange(height)[:, None] + moved[0], torch.arange(width)[None] + moved[1]
