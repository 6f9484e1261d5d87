"""Objects with their outlines: the source of every output for annotation tools."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segzoo.prediction.outputs.polygons import trace_polygons
from segzoo.prediction.outputs.simplifying import kept_corners
from segzoo.prediction.postprocessing import find_components

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.prediction.outputs.polygons import Ring
    from segzoo.prediction.postprocessing import Instances

#: Path of outlines. ``edges``: along the edges of pixels; the first pixel has the corners (0, 0) and (1, 1).
#: ``pixels``: through the centres of the object's outermost pixels; the first pixel is (0, 0). Use it for
#: programs that also fill the line of a polygon, such as OpenCV and Pillow.
Course = Literal["edges", "pixels"]
#: Number of pixels of a sheet on which objects are traced together.
_SHEET = 1 << 22


@dataclass(frozen=True, eq=False)
class Outline:
    """An object: its class, its pixels and its outline.

    Attributes:
        label: index of its class.
        top: row of the top of its bounding box.
        left: column of the left of its bounding box.
        inside: ``(h, w)`` bool: its pixels within its bounding box.
        polygons: rings of each of its pieces: the outer ring, then those of holes; ``(corners, 2)`` of x and
            y. Outer rings run clockwise on a screen, holes counterclockwise; the last corner joins the first.
    """

    label: int
    top: int
    left: int
    inside: NDArray[np.bool_]
    polygons: Sequence[Sequence[Ring]]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """X and y of the top left pixel, width and height."""
        height, width = self.inside.shape
        return self.left, self.top, width, height

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(np.count_nonzero(self.inside))

    @property
    def is_plain(self) -> bool:
        """Whether one ring describes it: it has one piece and no hole."""
        return len(self.polygons) == 1 and len(self.polygons[0]) == 1


def find_outlines(instances: Instances, *, simplify: float = 0.0, course: Course = "edges") -> list[Outline]:
    """Return the objects of a segmentation with their outlines, in the same order.

    Args:
        instances: the objects.
        simplify: largest distance in pixels between an outline and a corner that is left out; 0 keeps all.
        course: path of the outlines.
    """
    rings = [one for layer in instances.layers for one in trace_polygons(layer, instances.connectivity)]
    boxes = instances.boxes().tolist()
    planes = [instances.numbers] if instances.numbers.ndim == 2 else list(instances.numbers)
    found: list[Outline] = []
    for number, (polygon, label, (left, top, width, height)) in enumerate(
        zip(_drawn(rings, simplify, course), instances.classes.tolist(), boxes, strict=True), start=1
    ):
        plane = planes[label if len(planes) > 1 or instances.numbers.ndim == 3 else 0]
        inside = plane[top : top + height, left : left + width] == number
        found.append(Outline(label, top, left, inside, [polygon]))
    return found


def outline_regions(
    regions: Iterable[tuple[int, int, int, NDArray[Any]]],
    *,
    connectivity: int = 8,
    simplify: float = 0.0,
    course: Course = "edges",
    trace: bool = True,
) -> list[Outline]:
    """Return the outlines of regions that may overlap or have several pieces; empty regions are left out.

    Args:
        regions: class index, row and column of the first pixel, and ``(h, w)`` bool.
        connectivity: 4 or 8: which neighbouring pixels belong to one piece.
        simplify: largest distance in pixels between an outline and a corner that is left out; 0 keeps all.
        course: path of the outlines.
        trace: whether to trace outlines; otherwise objects have pixels but no polygons.
    """
    found: list[Outline] = []
    for label, top, left, inside in regions:
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if len(rows):
            inside = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            found.append(Outline(label, top + int(rows[0]), left + int(columns[0]), inside, []))
    if not trace:
        return found
    polygons: list[list[Ring]] = []
    owners: list[int] = []
    for some in _sheets(found):
        for owner, rings in _traced(found, some, connectivity):
            owners.append(owner)
            polygons.append(rings)
    pieces: list[list[Sequence[Ring]]] = [[] for _ in found]
    for owner, rings in zip(owners, _drawn(polygons, simplify, course), strict=True):
        pieces[owner].append(rings)
    return [replace(one, polygons=mine) for one, mine in zip(found, pieces, strict=True)]


def _sheets(found: Sequence[Outline]) -> Iterator[range]:
    """Yield ranges of objects that are traced together, stacked on a sheet of limited size."""
    first = width = height = 0
    for number, one in enumerate(found):
        rows, columns = one.inside.shape
        if number > first and max(width, columns) * (height + rows + 1) > _SHEET:
            yield range(first, number)
            first, width, height = number, 0, 0
        width, height = max(width, columns), height + rows + 1
    if found:
        yield range(first, len(found))


def _traced(found: Sequence[Outline], some: range, connectivity: int) -> Iterator[tuple[int, list[Ring]]]:
    """Yield the number of each object with the rings of each of its pieces."""
    shapes = [found[number].inside.shape for number in some]
    tops = np.cumsum([0, *(rows + 1 for rows, _ in shapes)])
    sheet = np.zeros((int(tops[-1]), max(columns for _, columns in shapes)), np.uint8)
    for number, top, (rows, columns) in zip(some, tops.tolist(), shapes, strict=False):
        sheet[top : top + rows, :columns] = found[number].inside
    pieces = find_components(sheet, connectivity)
    wanted = np.cumsum(pieces.classes > 0) * (pieces.classes > 0)
    for rings in trace_polygons(wanted[pieces.numbers], connectivity):
        place = int(np.searchsorted(tops, rings[0][:, 1].min(), "right")) - 1
        one = found[some[place]]
        shift = np.array([one.left, one.top - int(tops[place])])
        yield some[place], [ring + shift for ring in rings]


def _drawn(polygons: Sequence[Sequence[Ring]], simplify: float, course: Course) -> list[list[Ring]]:
    kept = kept_corners(polygons, simplify)
    if course == "pixels":
        return [_through_pixels(rings, some) for rings, some in zip(polygons, kept, strict=True)]
    return [
        [ring[some] for ring, some in zip(rings, one, strict=True)]
        for rings, one in zip(polygons, kept, strict=True)
    ]


#: Offsets from a corner to the last pixel of the edge that ends there, and to the first pixel of the edge
#: that begins there, by direction of the edge (right, down, left, up); the object is on the right of an edge.
_LAST = np.array([[-1, 0], [-1, -1], [0, -1], [0, 0]])
_FIRST = np.array([[0, 0], [-1, 0], [-1, -1], [0, -1]])


def _through_pixels(rings: Sequence[Ring], kept: Sequence[NDArray[np.int64]]) -> list[Ring]:
    """Return the object's pixels at the kept corners of its rings.

    Where two pixels of the object share only a corner, the line runs straight from one to the other.
    """
    corners, counts = np.unique(np.concatenate(list(rings)), axis=0, return_counts=True)
    twice = {tuple(corner) for corner in corners[counts > 1].tolist()}
    found: list[Ring] = []
    for ring, some in zip(rings, kept, strict=True):
        step = np.sign(np.roll(ring, -1, axis=0) - ring)
        after = np.where(step[:, 0] != 0, 1 - step[:, 0], 2 - step[:, 1])
        before = np.roll(after, 1)
        flat, steep = np.where(after % 2 == 0, [after, before], [before, after])
        pixels = ring - np.stack([steep == 1, flat == 2], axis=1)
        double = np.zeros(len(ring), np.bool_)
        if twice:
            met = np.array([tuple(corner) in twice for corner in ring.tolist()])
            double = met & ((after - before) % 4 == 3)
        first = np.where(double[:, None], ring + _LAST[before], pixels)
        second = ring + _FIRST[after]
        wanted = np.stack([np.ones(len(ring), np.bool_), double], axis=1)[some]
        found.append(np.stack([first, second], axis=1)[some][wanted])
    return found


def joined_rings(rings: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return one ring for an outline with holes, for formats without holes: bridges connect the rings.

    A bridge is a horizontal line from the leftmost corner of a hole to the nearest line on its left, so it
    crosses nothing.

    Args:
        rings: the outer ring, then those of holes.
    """
    outer, *holes = (ring.astype(np.float64) for ring in rings)
    for hole in sorted(holes, key=lambda ring: float(ring[:, 0].min())):
        first = int(np.lexsort((hole[:, 1], hole[:, 0]))[0])
        x, y = hole[first]
        ends = np.roll(outer, -1, axis=0)
        (x0, y0), (x1, y1) = outer.T, ends.T
        at = np.minimum(np.maximum(x0, x1), x)  # on a horizontal edge, the nearest point to the left
        steep = y0 != y1
        at[steep] = (x0 + (y - y0) * (x1 - x0) / np.where(steep, y1 - y0, 1))[steep]
        there = (np.minimum(y0, y1) <= y) & (y <= np.maximum(y0, y1)) & (np.minimum(x0, x1) <= x) & (at <= x)
        edge = int(np.argmax(np.where(there, at, -np.inf)))
        bridge = np.array([[at[edge], y]])
        around = np.roll(hole, -first, axis=0)
        outer = np.concatenate([outer[: edge + 1], bridge, around, around[:1], bridge, outer[edge + 1 :]])
    return outer
