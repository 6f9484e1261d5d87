"""Masks on images: arrays in, arrays out, no files.

Pictures are ``(H, W, 3)`` uint8. The background, where the labels have one, is never painted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.errors import OptionError
from segzoo.images import displayed
from segzoo.labels import alone, flattened, foreground
from segzoo.specs import Labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Colour = tuple[int, int, int]

#: Pixels of white between the pictures of a sheet.
GAP = 8


def paint_classes(mask: NDArray[Any], labels: Labels) -> NDArray[np.uint8]:
    """Return the colour of each pixel's class; the mean of several where they overlap, black without any."""
    if labels.overlapping:
        mask, labels = _blended(mask, labels)
    return np.asarray(_colour_image(mask, labels.colours))


def paint_overlay(
    image: NDArray[Any],
    mask: NDArray[Any],
    labels: Labels,
    *,
    opacity: float,
    line_width: int,
    objects: NDArray[np.int32] | None = None,
) -> NDArray[np.uint8]:
    """Return the image with every class but background tinted, and outlined in its full colour.

    Args:
        image: ``(H, W, C)``, which is shown as `segzoo.images.displayed` does.
        mask: ``(H, W)`` class indices, or ``(K, H, W)`` where classes overlap: these are tinted in the mean
            of their colours, and outlined each by itself, later ones on top.
        labels: colours of the classes, and which of them is background.
        opacity: of the tint, 0 to 1, in steps of 1/255.
        line_width: pixels of the outlines, inside the objects; 0 draws none.
        objects: shaped like the mask, the number of each pixel's object, which are outlined one by one;
            ``None`` outlines classes.

    Raises:
        OptionError: opacity or line width are out of range.
    """
    if not 0 <= opacity <= 1:
        raise OptionError(f"opacity must lie in 0 to 1, got {opacity}")
    if labels.overlapping:
        flat, blends = _blended(mask, labels)
        picture = paint_overlay(image, flat, blends, opacity=opacity, line_width=0).copy()
        for index, plane in enumerate(mask):
            edges = plane if objects is None else objects[index]
            picture[outline(plane, alone(labels, index), line_width, edges)] = labels.colours[index]
        return picture
    canvas = Image.fromarray(displayed(image))
    weight = foreground(mask, labels) * np.uint8(round(255 * opacity))
    weight[outline(mask, labels, line_width, objects)] = 255
    canvas.paste(_colour_image(mask, labels.colours), (0, 0), Image.fromarray(weight))
    return np.asarray(canvas)


def cut_out(
    image: NDArray[Any], where: NDArray[np.bool_], background: Colour | None = None
) -> NDArray[np.uint8]:
    """Return some of an image: ``(H, W, 4)``, transparent elsewhere, or ``(H, W, 3)`` on a colour.

    Args:
        image: ``(H, W, C)``.
        where: ``(H, W)``, what is kept.
        background: colour of the rest.
    """
    picture = displayed(image)
    if background is not None:
        canvas = Image.new("RGB", (where.shape[1], where.shape[0]), background)
        canvas.paste(Image.fromarray(picture), (0, 0), _stencil(where))
        return np.asarray(canvas)
    alpha = where.view(np.uint8) * np.uint8(255)
    # What is transparent is black below, so that a file does not carry what was cut away.
    return np.dstack([picture & alpha[..., None], alpha])


def side_by_side(*pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures of one height in a row, with white gaps."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(row[:-1], axis=1)


def outline(
    mask: NDArray[Any], labels: Labels, width: int = 1, objects: NDArray[Any] | None = None
) -> NDArray[np.bool_]:
    """Return the pixels of every class but background that lie within ``width`` pixels of another class.

    Where objects are given, it is other objects that count, of whatever class.

    The first pixel is one that touches another class to the right, left, above or below; further
    ones grow by edges and corners in turns, which keeps round lines round. The border of the image is
    no edge.

    Raises:
        OptionError: the width is negative.
    """
    if width < 0:
        raise OptionError(f"a line must be at least 0 pixels wide, got {width}")
    edge = np.zeros(mask.shape, np.bool_)
    if width == 0:
        return edge
    areas = mask if objects is None else objects
    down, right = areas[1:] != areas[:-1], areas[:, 1:] != areas[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    for step in range(1, width):
        # Both sides of every boundary are marked, so that growing never crosses one.
        edge = _grown(edge, corners=step % 2 == 1)
    return edge & foreground(mask, labels)


def _grown(where: NDArray[np.bool_], *, corners: bool) -> NDArray[np.bool_]:
    grown = where.copy()
    grown[1:] |= where[:-1]
    grown[:-1] |= where[1:]
    source = grown.copy() if corners else where
    grown[:, 1:] |= source[:, :-1]
    grown[:, :-1] |= source[:, 1:]
    return grown


def look_up(mask: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    """Return what a table of 256 values or more has for each class of a mask."""
    if mask.dtype != np.uint8 or table.dtype != np.uint8:
        return table[mask]
    # Several times as fast as indexing, which would first make each class a 64-bit index.
    return np.frombuffer(bytearray(mask.tobytes()).translate(table[:256].tobytes()), np.uint8).reshape(
        mask.shape
    )


def _blended(planes: NDArray[np.uint8], labels: Labels) -> tuple[NDArray[Any], Labels]:
    """Return a mask and labels with one class for each combination, in the mean of its colours."""
    flat, table = flattened(planes)
    there = (table == 1).astype(float)
    colours = there @ np.array(labels.colours, float) / np.maximum(there.sum(axis=1, keepdims=True), 1)
    names = tuple(map(str, range(len(table))))
    palette = tuple((red, green, blue) for red, green, blue in np.rint(colours).astype(int).tolist())
    return flat, Labels(classes=names, palette=palette)


def _colour_image(mask: NDArray[Any], colours: Sequence[Colour]) -> Image.Image:
    if len(colours) > 256 or mask.dtype != np.uint8:
        return Image.fromarray(np.array(colours, np.uint8)[mask])
    image = Image.fromarray(mask)
    image.putpalette([value for colour in colours for value in colour])
    return image.convert("RGB")


def _stencil(where: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(where.view(np.uint8) * np.uint8(255))
