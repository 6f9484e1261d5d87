"""Shapes of annotated regions, and the pixels that they cover.

Annotation programs disagree about edges: each rule of `Polygon` is that of one program, so that masks are the
same as in its own export. Coordinates are pixels: x to the right, y down, from the top left corner of the
image.

All edges of a polygon are drawn at once, and only the pixels of its bounding box are touched: a small object
in a large image costs no more than in a small one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageDraw

from segzoo.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    _Corners = Sequence[NDArray[np.int64]]

#: Which pixels a polygon covers. ``centre``: pixels whose centres lie inside, by the even-odd rule.
#: ``coco``: as in pycocotools, which rounds corners to fifths of a pixel. ``opencv``: as in OpenCV's
#: fillPoly, including the outline, with corners truncated to integers first, as in ultralytics.
#: ``pillow``: as drawn by Pillow, including the outline, as in labelme.
Rule = Literal["centre", "coco", "opencv", "pillow"]


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
        """The box, as an index of ``(..., H, W)`` arrays."""
        height, width = self.inside.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.inside))


NOTHING = Patch(0, 0, np.zeros((0, 0), np.bool_))


class Shape(Protocol):
    """A picklable object that can return the pixels that it covers."""

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels in an image of this (height, width); parts outside of it are cut off."""
        ...


@dataclass(frozen=True, eq=False)
class Polygon:
    """One polygon.

    Attributes:
        rings: its outline and its holes, each ``(corners, 2)`` of x and y; the last corner joins the first.
        rule: rule for its pixels; holes are cut out by the even-odd rule.
    """

    rings: Sequence[NDArray[np.float64]]
    rule: Rule = "centre"

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the polygon."""
        rings = [ring for ring in self.rings if len(ring)]
        return _RULES[self.rule](rings, size) if rings else NOTHING


@dataclass(frozen=True, eq=False)
class Several:
    """Shapes that form one region: every pixel that any of them covers.

    Attributes:
        shapes: the shapes.
    """

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
    """Runs of pixels, alternately outside and inside, column by column, as in COCO.

    Attributes:
        counts: length of each run; together they fill the image.
        size: (height, width) of that image.
    """

    counts: NDArray[np.int64]
    size: tuple[int, int]

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the runs.

        Raises:
            MaskError: they belong to an image of another size.
        """
        if tuple(self.size) != tuple(size):
            raise MaskError(
                f"runs of an image of {self.size} (height, width) are used for one of {tuple(size)}"
            )
        height, _ = self.size
        ends = np.cumsum(self.counts)
        last = ends[1::2]  # ends of the runs inside
        first = last - self.counts[1::2]
        first, last = first[first < last], last[first < last]
        if not len(first):
            return NOTHING
        left, right = int(first[0]) // height, int(last[-1] - 1) // height + 1
        top, bottom = 0, height
        if (first // height == (last - 1) // height).all():
            top, bottom = int((first % height).min()), int(((last - 1) % height).max()) + 1
        # Only the columns from the first to the last pixel are drawn.
        total = (right - left) * height
        places = np.minimum(np.maximum(ends[:-1] - left * height, 0), total)
        inside = _alternating(places, total).reshape(right - left, height)
        return Stencil(inside[:, top:bottom].T, top, left).draw(size)


@dataclass(frozen=True, eq=False)
class Stencil:
    """A small mask at some position in the image.

    Attributes:
        inside: ``(h, w)`` bool.
        top: row of its first pixel; may be negative.
        left: column of its first pixel; may be negative.
    """

    inside: NDArray[np.bool_]
    top: int = 0
    left: int = 0

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the part of the mask that lies in the image."""
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
    """An axis-aligned rectangle.

    Attributes:
        left: x of its left side.
        top: y of its upper side.
        right: x of its right side.
        bottom: y of its lower side.
        rule: rule for its pixels; Pillow's includes the pixels of all four sides.
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
    """An ellipse, as Pillow draws it with its outline, or with the pixels whose centres lie inside.

    Attributes:
        centre: x and y of the centre.
        radii: radii along x and y, before the rotation.
        degrees: rotation, clockwise on a screen; if rotated, pixel centres decide.
        rule: rule for its pixels.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    degrees: float = 0.0
    rule: Rule = "pillow"

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the ellipse."""
        (x, y), (rx, ry) = self.centre, self.radii
        if self.rule == "pillow" and self.degrees % 180 == 0:
            return _drawn(
                size,
                (x - rx, y - ry, x + rx, y + ry),
                lambda draw, dx, dy: draw.ellipse(
                    (x - rx - dx, y - ry - dy, x + rx - dx, y + ry - dy), fill=1, outline=1
                ),
            )
        angle = math.radians(self.degrees)
        cosine, sine = math.cos(angle), math.sin(angle)
        wide, high = math.hypot(rx * cosine, ry * sine), math.hypot(rx * sine, ry * cosine)
        box = _box((x - wide, y - high), (x + wide, y + high), size)
        if box is None or not rx or not ry:
            return NOTHING
        left, top, right, bottom = box
        dx, dy = np.arange(left, right) + 0.5 - x, (np.arange(top, bottom) + 0.5 - y)[:, None]
        along, across = (dx * cosine + dy * sine) / rx, (dy * cosine - dx * sine) / ry
        return Patch(top, left, along**2 + across**2 <= 1)


@dataclass(frozen=True, eq=False)
class Line:
    """A line through points, with a width in pixels; a single point is a dot.

    Attributes:
        points: ``(n, 2)`` of x and y.
        width: width in pixels.
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
    """Return left, top, right and bottom of the pixels between two corners; ``None`` if there are none."""
    sides = size[::-1]
    # A radius may be infinite, but a pixel position cannot: distant positions are moved to the border.
    first = [min(max(one, 0), side + 1) for one, side in zip(low, sides, strict=True)]
    last = [min(max(one, -2), side) for one, side in zip(high, sides, strict=True)]
    left, top = (max(math.floor(one) - 1, 0) for one in first)
    right, bottom = (min(math.ceil(one) + 2, side) for one, side in zip(last, sides, strict=True))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _box_of(rings: Sequence[NDArray[Any]], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    every = np.concatenate(list(rings))
    return _box(every.min(axis=0).tolist(), every.max(axis=0).tolist(), size)


def _drawn(
    size: tuple[int, int], bounds: Sequence[float], paint: Callable[[ImageDraw.ImageDraw, int, int], object]
) -> Patch:
    """Return the pixels that Pillow paints, on a canvas no larger than the bounds.

    Args:
        size: (height, width) of the image.
        bounds: the smallest x and y, and the largest.
        paint: function that draws, with the offsets to subtract from every x and y.
    """
    box = _box(bounds[:2], bounds[2:], size)
    if box is None:
        return NOTHING
    left, top, right, bottom = box
    canvas = Image.new("1", (right - left, bottom - top))
    paint(ImageDraw.Draw(canvas), left, top)
    return Patch(top, left, np.asarray(canvas))


def _pillow(rings: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> Patch:
    every = np.concatenate(list(rings))
    bounds = (*every.min(axis=0).tolist(), *every.max(axis=0).tolist())

    def one(ring: NDArray[np.float64]) -> Patch:
        def paint(draw: ImageDraw.ImageDraw, dx: int, dy: int) -> None:
            corners = [(x - dx, y - dy) for x, y in _near(ring).tolist()]
            draw.polygon(corners if len(corners) > 1 else corners * 2, fill=1, outline=1)

        return _drawn(size, bounds, paint)

    outer, *holes = [one(ring) for ring in rings]
    inside = outer.inside
    for hole in holes:
        inside = inside ^ hole.inside
    return Patch(outer.top, outer.left, inside)


#: Integers hold the squares of coordinates up to this.
_FAR = 1 << 28


def _near(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return corners that integers can hold, for any distance from the image."""
    return np.minimum(np.maximum(ring, -_FAR), _FAR)


def _edges(rings: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """Return x and y of the first corner of every edge, then of the second."""
    ends = [part for ring in rings for part in (ring[1:], ring[:1])]
    first, second = np.concatenate(list(rings)), np.concatenate(ends)
    return first[:, 0], first[:, 1], second[:, 0], second[:, 1]


def _within(values: NDArray[Any], low: int, high: int) -> NDArray[Any]:
    """Return values limited to a range, like `numpy.clip`, which is slower."""
    return np.minimum(np.maximum(values, low), high)


def _spread(first: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Return the integers of ranges in one array, and before them the range that each belongs to."""
    counts = np.maximum(stop - first, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) + (first - np.cumsum(counts) + counts)[owner]


def _changing(places: NDArray[np.int64], inside: NDArray[np.bool_], total: int) -> NDArray[np.bool_]:
    """Return ``total`` pixels: outside up to the first of the sorted places, then as given for each place."""
    bounds = np.empty(len(places) + 2, np.int64)
    bounds[0], bounds[1:-1], bounds[-1] = 0, places, total
    pattern = np.zeros(len(places) + 1, np.bool_)
    pattern[1:] = inside
    return np.repeat(pattern, bounds[1:] - bounds[:-1])


def _alternating(places: NDArray[np.int64], total: int) -> NDArray[np.bool_]:
    """Return ``total`` pixels, which start outside and change sides at each of the sorted places."""
    return _changing(places, np.arange(len(places)) % 2 == 0, total)


def _between(
    lines: NDArray[np.int64], places: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return which pixels of each line follow an odd number of places.

    Args:
        lines: the line of each place; a line has an even number of places.
        places: 0 to the length of a line, in any order.
        shape: number and length of the lines.
    """
    places = lines * shape[1] + places
    places.sort()
    return _alternating(places, shape[0] * shape[1]).reshape(shape)


def _centre(rings: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> Patch:
    """Return the pixels whose centres lie to the right of an odd number of edges."""
    box = _box_of(rings, size)
    if box is None:
        return NOTHING
    left, top, right, bottom = box
    x0, y0, x1, y1 = _edges(rings)
    first = _within(np.ceil(np.minimum(y0, y1) - 0.5), top, bottom).astype(np.int64)
    stop = _within(np.ceil(np.maximum(y0, y1) - 0.5), top, bottom).astype(np.int64)
    edge, rows = _spread(first, stop)
    x = x0[edge] + (rows + 0.5 - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])
    columns = _within(np.ceil(x - 0.5) - left, 0, right - left).astype(np.int64)
    return Patch(top, left, _between(rows - top, columns, (bottom - top, right - left)))


def _coco(rings: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> Patch:
    """Return the pixels that pycocotools covers.

    It rounds corners to fifths of a pixel and follows each edge in steps of one fifth along its longer
    direction. At each crossing of the middle of a column, the pixels below change sides.

    Source: ``rleFrPoly`` of https://github.com/cocodataset/cocoapi
    """
    box = _box_of(rings, size)
    if box is None:
        return NOTHING
    left, top, right, bottom = box
    fifths = [np.trunc(_near(ring) * 5 + 0.5).astype(np.int64) for ring in rings]
    x0, y0, x1, y1 = _edges(fifths)
    flat = np.abs(x1 - x0) >= np.abs(y1 - y0)
    # Each edge is followed towards larger values of its longer coordinate.
    turned = np.where(flat, x0 > x1, y0 > y1)
    ends = np.where(turned, [x1, y1, x0, y0], [x0, y0, x1, y1])
    # The middle of a column lies between its third fifth, 5 * column + 2, and its fourth.
    low, high = np.minimum(x0, x1), np.maximum(x0, x1)
    edge, columns = _spread(_within((low + 2) // 5, left, right), _within((high + 2) // 5, left, right))
    (x0, y0, x1, y1), flat, third = ends[:, edge], flat[edge], columns * 5 + 2
    dx, dy = x1 - x0, y1 - y0
    slope = np.where(flat, dy, dx) / np.where(flat, dx, dy)
    start = np.where(flat, y0, x0)
    # A flat edge passes the middle between two steps; the higher one counts.
    steps = third - x0 + (slope < 0)
    if not flat.all():
        steps = np.where(flat, steps, _step_past(third, start, dy, slope))
    y = np.where(flat, np.floor(start + slope * steps + 0.5).astype(np.int64), y0 + steps - 1)
    rows = _within((y + 2) // 5, top, bottom) - top
    return Patch(top, left, _between(columns - left, rows, (right - left, bottom - top)).T)


def _step_past(
    third: NDArray[np.int64], start: NDArray[np.int64], dy: NDArray[np.int64], slope: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the first step of each steep edge that is past the middle of its column."""
    forward = slope > 0
    guess = np.ceil((third + 0.5 - start) / np.where(slope, slope, 1))
    steps = np.minimum(np.maximum(guess, 1), np.maximum(dy, 1)).astype(np.int64)

    def past(steps: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (np.floor(start + slope * steps + 0.5) > third) == forward

    # The division may be off by one step from the result of following the edge.
    steps -= past(steps - 1)
    return steps + ~past(steps)


def _opencv(rings: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> Patch:
    """Return the pixels that OpenCV's fillPoly covers: the outline, and its inside by the even-odd rule.

    Source: ``fillPoly`` of https://github.com/opencv/opencv
    """
    whole = [np.trunc(_near(ring)).astype(np.int64) for ring in rings]
    box = _box_of(whole, size)
    if box is None:
        return NOTHING
    left, top, right, bottom = box
    plain = _edges(whole)
    within = all(x.min() >= 0 and x.max() < side for x, side in zip(plain, size[::-1], strict=False))
    clipped, seen = (plain, slice(None)) if within else _clipped(plain, size)
    row, first, last = _crossed(plain, clipped, (top, bottom))
    rows, columns = _stepped([one[seen] for one in clipped])
    row, first = np.concatenate([row, rows]) - top, np.concatenate([first, columns]) - left
    last = np.concatenate([last, columns]) - left
    # Spans may overlap: a pixel is inside if more of them have begun than ended.
    width, total = right - left, (right - left) * (bottom - top)
    places = np.concatenate([_within(first, 0, width), _within(last + 1, 0, width)]) + np.tile(row * width, 2)
    order = places.argsort(kind="stable")
    depth = np.where(order < len(row), 1, -1).cumsum()
    return Patch(top, left, _changing(places[order], depth > 0, total).reshape(-1, width))


#: Binary places of the fraction with which OpenCV follows edges.
_PLACES = 16


def _crossed(plain: _Corners, clipped: _Corners, rows: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
    """Return row, first and last column of the spans between every two edges of a row."""
    # An edge that leaves the image is followed from where it enters.
    (x0, y0, x1, y1), level = clipped, clipped[1] == clipped[3]
    x0, x1 = x0 << _PLACES, x1 << _PLACES
    y0, y1 = np.where(level, plain[1], y0), np.where(level, plain[3], y1)
    down = y1 - y0
    slope = np.where(down, np.trunc((x1 - x0) / np.where(down, down, 1)), 0).astype(np.int64)
    high, low = np.minimum(plain[1], plain[3]), np.maximum(plain[1], plain[3])
    edge, row = _spread(high.clip(*rows), low.clip(*rows))
    # Errors of the truncated slope add up from the upper corner, or from where the lower one was cut.
    falls = (plain[1] < plain[3])[edge]
    x = np.where(falls, x0[edge], x1[edge])
    x += (row - np.where(falls, y0[edge], y1[edge])) * slope[edge]
    order = np.lexsort((x, row))
    first, last = x[order].reshape(-1, 2).T
    return row[order][::2], -(-first >> _PLACES), last >> _PLACES


def _clipped(corners: _Corners, size: tuple[int, int]) -> tuple[list[NDArray[np.int64]], NDArray[np.bool_]]:
    """Return the edges cut off where they leave the image, and which of them are visible.

    Cuts are truncated towards the removed corner, first in y and then in x.
    """
    x0, y0, x1, y1 = (one.copy() for one in corners)
    bottom, right = size[0] - 1, size[1] - 1

    def sides() -> list[NDArray[np.int64]]:
        return [
            (x < 0) * 1 + (x > right) * 2 + (y < 0) * 4 + (y > bottom) * 8 for x, y in ((x0, y0), (x1, y1))
        ]

    def cut(
        which: NDArray[np.bool_],
        along: NDArray[np.int64],
        across: NDArray[np.int64],
        to: NDArray[np.int64],
        slope: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        """Move some corners along their edges to a given value of one coordinate."""
        rise, run = slope
        moved = (to - across)[which].astype(np.float64) * rise[which] / run[which]
        along[which] += np.trunc(moved).astype(np.int64)
        across[which] = to[which]

    one, two = sides()
    for vertical in (True, False):
        away = ((one & two) == 0) & ((one | two) != 0)
        for which, (x, y) in enumerate(((x0, y0), (x1, y1))):
            mine = (one, two)[which]
            if vertical:
                cut(away & (mine & 12 > 0), x, y, np.where(mine < 8, 0, bottom), (x1 - x0, y1 - y0))
            else:
                cut(away & (mine > 0), y, x, np.where(mine == 1, 0, right), (y1 - y0, x1 - x0))
        one, two = sides()
    return [x0, y0, x1, y1], (one | two) == 0


def _stepped(corners: _Corners) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the pixels on edges, from the left to the right, halves rounded down."""
    x0, y0, x1, y1 = corners
    turned = x0 > x1
    x0, y0, x1, y1 = (np.where(turned, *pair) for pair in ((x1, x0), (y1, y0), (x0, x1), (y0, y1)))
    dx, dy = x1 - x0, np.abs(y1 - y0)
    edge, step = _spread(np.zeros_like(dx), np.maximum(dx, dy) + 1)
    long, short = np.maximum(np.maximum(dx, dy), 1)[edge], np.minimum(dx, dy)[edge]
    side = (2 * short * step + long - 1) // (2 * long)
    flat, sign = (dx >= dy)[edge], np.where(y1 < y0, -1, 1)[edge]
    columns = x0[edge] + np.where(flat, step, side)
    rows = y0[edge] + sign * np.where(flat, side, step)
    return rows, columns


_RULES: dict[Rule, Callable[[Sequence[NDArray[np.float64]], tuple[int, int]], Patch]] = {
    "centre": _centre,
    "coco": _coco,
    "opencv": _opencv,
    "pillow": _pillow,
}
