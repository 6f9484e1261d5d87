"""The regions of an image that COCO files annotate: polygons, runs, boxes and panoptic segments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import segzoo.json_text as json_text
from segzoo.datasets import Box, Polygon, Region, Runs, Several, Stencil, listed
from segzoo.errors import MaskError
from segzoo_formats.coco_index import mask_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Shape

#: Bytes of a text of COCO's runs that a count of 32 bits needs.
_DIGITS = 7
#: A file, where annotations lie in it, and the label of each category.
Source = tuple[Path, "NDArray[np.int64]", "Mapping[Any, int]"]


def _read(
    sources: Sequence[Source], image: str
) -> Iterator[tuple[Path, dict[str, Any], Mapping[Any, int], str]]:
    """Yield the annotations of an image, each with its file, the labels, and what it is called in errors."""
    for path, spans, labels in sources:
        with path.open("rb") as file:
            for start, stop in spans.tolist():
                file.seek(start)
                try:
                    one = json_text.parse(file.read(stop - start))
                    where = f"{path}: annotation {one.get('id')} of {image}"
                except (ValueError, AttributeError) as error:
                    raise MaskError(
                        f"{path} has changed since it was opened ({error}): open the dataset again"
                    ) from error
                yield path, one, labels, where


def regions_of(sources: Sequence[Source], image: str, size: tuple[int, int] | None) -> list[Region]:
    """Return the objects of an image."""
    found = []
    for _, one, labels, where in _read(sources, image):
        label = labels.get(one.get("category_id"))
        shape, ignored = one.get("segmentation"), bool(one.get("iscrowd"))
        if not shape:
            drawn, ignored = _box(one.get("bbox"), where), True
        elif isinstance(shape, dict):
            drawn = _runs(shape, size, where)
        else:
            drawn = _polygons(shape, where)
        found.append(Region(drawn, None, layer=-1) if ignored else Region(drawn, label))
    return found


def _box(box: Any, where: str) -> Box:
    try:
        x, y, width, height = np.array(box, np.float64).tolist()
        if not math.isfinite(x + y + width + height):
            raise ValueError("not finite")
    except (TypeError, ValueError, OverflowError) as error:
        raise MaskError(f"{where} has neither an outline nor a box: take it out, or draw it") from error
    return Box(x, y, x + width, y + height)


def _polygons(rings: Any, where: str) -> Shape:
    """Return the polygons ``[[x, y, x, y, ...], ...]`` as one region; those of two points have no area."""
    if not isinstance(rings, list) or not isinstance(rings[0], list):
        rings = [rings]
    shapes = []
    for ring in rings:
        try:
            numbers = np.array(ring, np.float64) if isinstance(ring, list) else np.array([np.nan])
        except (TypeError, ValueError, OverflowError):
            numbers = np.array([np.nan])
        if numbers.ndim != 1 or len(numbers) % 2 or not np.isfinite(numbers).all():
            raise MaskError(f"{where}: a polygon is a list [x, y, x, y, ...] of finite numbers")
        if len(numbers) >= 6:
            shapes.append(Polygon([numbers.reshape(-1, 2)], "coco"))
    return shapes[0] if len(shapes) == 1 else Several(shapes)


def _runs(shape: Mapping[str, Any], size: tuple[int, int] | None, where: str) -> Runs:
    """Return the pixels of runs: outside, inside, outside, ..., column by column."""
    counts, said = shape.get("counts"), shape.get("size")
    if size is None or (said is not None and said != list(size)):
        if size is not None or not (isinstance(said, list) and len(said) == 2):
            raise MaskError(
                f"{where}: its runs are of an image of {said}, and this one is {list(size or ())}"
            )
        size = int(said[0]), int(said[1])
    try:
        runs = _counts(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    except (TypeError, ValueError, OverflowError):
        runs = np.array([-1])
    pixels = size[0] * size[1]
    # Each is compared too: a sum of huge counts may begin anew at 0.
    if runs.ndim != 1 or (runs < 0).any() or (runs > pixels).any() or runs.sum() != pixels:
        raise MaskError(f"{where}: its runs do not fill the image: the file is damaged, or of other images")
    return Runs(runs, size)


def _counts(text: str) -> NDArray[np.int64]:
    """Return the counts of COCO's string; `segzoo.prediction.outputs.coco.compress_runs` writes such.

    Raises:
        ValueError: it is no such string.
    """
    digits = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - 48
    last = digits & 32 == 0
    if not len(digits) or not last[-1] or ((digits < 0) | (digits > 63)).any():
        raise ValueError("no counts")
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends + 1 - starts
    if lengths.max() > _DIGITS:
        raise ValueError("a count is too large")
    places = np.arange(len(digits)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((digits & 31) << 5 * places, starts)
    counts -= np.where(digits[ends] & 16, 1 << 5 * lengths, 0)
    # From the fourth on, each is the difference to the last but one.
    counts[1::2], counts[2::2] = counts[1::2].cumsum(), counts[2::2].cumsum()
    return counts


def segments_of(sources: Sequence[Source], image: str, size: tuple[int, int] | None) -> list[Region]:
    """Return the segments of a panoptic mask; pixels outside all segments are ignored."""
    found = []
    for path, one, labels, where in _read(sources, image):
        mask = _panoptic_mask(mask_file(path, str(one.get("file_name") or "")))
        segments = one.get("segments_info")
        ids = _segment_ids(segments)
        unlisted = set(np.unique(mask).tolist()) - {0, *ids}
        if unlisted:
            raise MaskError(
                f"{where}: its mask has the segments {listed(sorted(unlisted))}, and segments_info has not"
            )
        found.append(Region(_stencil(mask == 0), None, layer=-2))
        for number, segment in ids.items():
            label = labels.get(segment.get("category_id"))
            inside = _stencil(mask == number)
            if segment.get("iscrowd"):
                found.append(Region(inside, None, layer=-1))
            elif label is not None:
                found.append(Region(inside, label))
    if not found:
        raise MaskError(f"{sources[0][0]} has no segments for {image}: add them, or take the image out")
    return found


def _segment_ids(segments: Any) -> dict[int, Mapping[str, Any]]:
    rows = [one for one in segments if isinstance(one, dict)] if isinstance(segments, list) else []
    return {one["id"]: one for one in rows if isinstance(one.get("id"), int)}


def _panoptic_mask(mask: Path) -> NDArray[np.int64]:
    """Return the segment of each pixel."""
    try:
        with Image.open(mask) as picture:
            bands = np.asarray(picture.convert("RGB") if picture.mode in ("P", "RGBA") else picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MaskError(f"{mask} cannot be read: {error}") from error
    bands = bands.astype(np.int64)
    return bands if bands.ndim == 2 else bands[..., 0] + 256 * bands[..., 1] + 65536 * bands[..., 2]


def _stencil(inside: NDArray[np.bool_]) -> Stencil:
    """Return a mask cut to where it has pixels."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return Stencil(inside[:0, :0])
    top, left = int(rows[0]), int(columns[0])
    return Stencil(inside[top : rows[-1] + 1, left : columns[-1] + 1], top, left)
