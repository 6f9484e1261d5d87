"""Shapes of annotated regions, and the pixels that they cover.

Programs that draw annotations disagree about the edge: each rule of `Polygon` is one program's, so that masks
come out as its own export has them. Coordinates are pixels: x to the right, y down, from the top left corner
of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Which pixels a polygon covers. ``centre``: those whose centres lie inside, by the even-odd rule.
#: ``pillow``: as Pillow draws it with its outline, which is labelme's way.
Rule = Literal["centre", "pillow"]


class Patch(NamedTuple):
    """The pixels of a region, within its bounding box.

    Attributes:
        top: row of the box in the image.
        left: column of the box.
        inside: ``(h, w)`` bool.
    """

    top: int
    left: int
    inside: NDArray[np.bool_]

    @property
    def place(self) -> tuple[slice, slice]:
        """The box, as an index of ``(..., H, W)`` arrays is."""
        height, width = self.inside.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return int(np.count_nonzero(self.inside))


NOTHING = Patch(0, 0, np.zeros((0, 0), np.bool_))


class Shape(Protocol):
    """What can say which pixels it covers; it pickles."""

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels in an image of this (height, width); what lies outside of it is cut off."""
        ...


@dataclass(frozen=True, eq=False)
class Polygon:
    """One polygon.

    Attributes:
        rings: its outline and its holes, each ``(corners, 2)`` of x and y; the last corner joins the first.
        rule: which pixels it covers; holes are cut out by the even-odd rule.
    """

    rings: Sequence[NDArray[np.float64]]
    rule: Rule = "centre"

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the polygon."""
        return (_filled if self.rule == "centre" else _by_pillow)(self.rings, size)


@dataclass(frozen=True, eq=False)
class Several:
    """Shapes that are one region: every pixel that any of them covers."""

    shapes: Sequence[Shape]

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of all shapes."""
        patches = [patch for shape in self.shapes if (patch := shape.draw(size)).inside.size]
        if len(patches) < 2:
            return patches[0] if patches else NOTHING
        top, left = min(one.top for one in patches), min(one.left for one in patches)
        bottom = max(one.top + one.inside.shape[0] for one in patches)
        right = max(one.left + one.inside.shape[1] for one in patches)
        inside = np.zeros((bottom - top, right - left), np.bool_)
        for one in patches:
            inside[Patch(one.top - top, one.left - left, one.inside).place] |= one.inside
        return Patch(top, left, inside)


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of pixels outside, inside, outside, ..., column by column, as COCO has them.

    Attributes:
        counts: length of each run; together they fill the image.
        size: (height, width) of that image.
    """

    counts: NDArray[np.int64]
    size: tuple[int, int]

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the runs."""
        height, width = self.size
        inside = np.arange(len(self.counts)) % 2 == 1
        whole = np.repeat(inside, self.counts).reshape(width, height).T
        return Stencil(whole).draw(size)


@dataclass(frozen=True, eq=False)
class Stencil:
    """A small mask that lies somewhere in the image.

    Attributes:
        inside: ``(h, w)`` bool.
        top: row of its first pixel; may be negative.
        left: column of its first pixel; may be negative.
    """

    inside: NDArray[np.bool_]
    top: int = 0
    left: int = 0

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return what of the mask lies in the image."""
        top, left = max(self.top, 0), max(self.left, 0)
        rows, columns = (
            slice(top - self.top, size[0] - self.top),
            slice(left - self.left, size[1] - self.left),
        )
        if rows.stop <= 0 or columns.stop <= 0:
            return NOTHING
        return Patch(top, left, self.inside[rows, columns])


@dataclass(frozen=True)
class Box:
    """An upright rectangle.

    Attributes:
        left: x of its left side.
        top: y of its upper side.
        right: x of its right side.
        bottom: y of its lower side.
        rule: which pixels it covers; Pillow's has the pixels of all four sides too.
    """

    left: float
    top: float
    right: float
    bottom: float
    rule: Rule = "centre"

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the rectangle."""
        sides = (self.left, self.top, self.right, self.bottom)
        if self.rule == "pillow":
            left, top, right, bottom = map(math.trunc, sides)
            right, bottom = right + 1, bottom + 1
        else:
            left, top, right, bottom = (math.ceil(side - 0.5) for side in sides)
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
        if left >= right or top >= bottom:
            return NOTHING
        return Patch(top, left, np.ones((bottom - top, right - left), np.bool_))


@dataclass(frozen=True)
class Ellipse:
    """An ellipse, as Pillow draws it with its outline; pixel centres decide where it is turned.

    Attributes:
        centre: x and y.
        radii: along x and y, before it is turned.
        degrees: clockwise on a screen.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    degrees: float = 0.0

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the ellipse."""
        (x, y), (rx, ry) = self.centre, self.radii
        if self.degrees % 180 == 0:
            return _drawn(
                size,
                (x - rx, y - ry, x + rx, y + ry),
                lambda draw, dx, dy: draw.ellipse(
                    (x - rx - dx, y - ry - dy, x + rx - dx, y + ry - dy), fill=1, outline=1
                ),
            )
        turn = np.linspace(0, 2 * math.pi, 361)[:-1]
        angle = math.radians(self.degrees)
        dx, dy = rx * np.cos(turn), ry * np.sin(turn)
        ring = np.stack(
            [
                x + dx * math.cos(angle) - dy * math.sin(angle),
                y + dx * math.sin(angle) + dy * math.cos(angle),
            ],
            axis=1,
        )
        return Polygon([ring]).draw(size)


@dataclass(frozen=True, eq=False)
class Line:
    """A line through points, of some pixels' width; one point is a dot.

    Attributes:
        points: ``(n, 2)`` of x and y.
        width: in pixels.
    """

    points: NDArray[np.float64]
    width: int = 1

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the line."""
        half = self.width / 2
        low, high = self.points.min(axis=0) - half, self.points.max(axis=0) + half

        def paint(draw: ImageDraw.ImageDraw, dx: int, dy: int) -> None:
            moved = [(x - dx, y - dy) for x, y in self.points.tolist()]
            if len(moved) == 1:
                ((x, y),) = moved
                draw.ellipse((x - half, y - half, x + half, y + half), fill=1, outline=1)
            else:
                draw.line(moved, fill=1, width=self.width)

        return _drawn(size, (*low.tolist(), *high.tolist()), paint)


def _box(
    low: Sequence[float], high: Sequence[float], size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of the pixels between two corners; ``None`` where there are none."""
    left, top = (max(math.floor(one) - 1, 0) for one in low)
    right, bottom = (min(math.ceil(one) + 2, side) for one, side in zip(high, size[::-1], strict=True))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _drawn(size: tuple[int, int], bounds: Sequence[float], paint) -> Patch:
    """Return what Pillow paints, on a canvas no larger than the bounds."""
    box = _box(bounds[:2], bounds[2:], size)
    if box is None:
        return NOTHING
    left, top, right, bottom = box
    canvas = Image.new("1", (right - left, bottom - top))
    paint(ImageDraw.Draw(canvas), left, top)
    return Patch(top, left, np.asarray(canvas))


def _by_pillow(rings: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> Patch:
    every = np.concatenate(list(rings))
    bounds = (*every.min(axis=0).tolist(), *every.max(axis=0).tolist())

    def one(ring: NDArray[np.float64]) -> Patch:
        return _drawn(
            size,
            bounds,
            lambda draw, dx, dy: draw.polygon(
                [(x - dx, y - dy) for x, y in ring.tolist()], fill=1, outline=1
            ),
        )

    outer, *holes = [one(ring) for ring in rings]
    inside = outer.inside
    for hole in holes:
        inside = inside ^ hole.inside
    return Patch(outer.top, outer.left, inside)


def _filled(rings: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> Patch:
    """Return the pixels whose centres lie to the right of an odd number of edges."""
    every = np.concatenate(list(rings))
    box = _box(every.min(axis=0).tolist(), every.max(axis=0).tolist(), size)
    if box is None:
        return NOTHING
    left, top, right, bottom = box
    width = right - left
    crossings = np.zeros((bottom - top, width + 1), np.int32)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            low, high = sorted((y0, y1))
            rows = np.arange(max(math.ceil(low - 0.5), top), min(math.ceil(high - 0.5), bottom))
            if len(rows):
                x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
                columns = (np.ceil(x - 0.5) - left).clip(0, width).astype(np.int64)
                np.add.at(crossings, (rows - top, columns), 1)
    return Patch(top, left, (crossings.cumsum(axis=1)[:, :width] % 2).astype(np.bool_))
