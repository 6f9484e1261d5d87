"""Draw masks on images: arrays in, arrays out, no files.

Pictures are ``(H, W, 3)`` uint8. The background class, if there is one, is never painted.
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

#: Width in pixels of the white gap between the pictures of a sheet.
GAP = 8


def paint_classes(mask: NDArray[Any], labels: Labels) -> NDArray[np.uint8]:
    """Return the colour of each pixel's class: the mean if classes overlap, black if there is none."""
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
    """Return the image with every class except background tinted, and outlined in its full colour.

    Args:
        image: ``(H, W, C)``, converted for display by `segzoo.images.displayed`.
        mask: ``(H, W)`` class indices; or ``(K, H, W)`` if classes overlap: pixels are tinted in the mean of
            their colours, and each class is outlined, later ones on top.
        labels: colours of the classes, and which of them is background.
        opacity: opacity of the overlay, 0 to 1, in steps of 1/255.
        line_width: width in pixels of the outlines, inside the objects; 0 draws none.
        objects: number of each pixel's object, in the shape of the mask, to outline every object; ``None``
            outlines classes.

    Raises:
        OptionError: opacity or line width is out of range.
    """
    if not 0 <= opacity <= 1:
        raise OptionError(f"opacity must be between 0 and 1, got {opacity}")
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
    """Return a part of an image: ``(H, W, 4)``, transparent elsewhere, or ``(H, W, 3)`` on a colour.

    Args:
        image: ``(H, W, C)``.
        where: ``(H, W)`` mask of the pixels to keep.
        background: colour of the rest.
    """
    picture = displayed(image)
    if background is not None:
        canvas = Image.new("RGB", (where.shape[1], where.shape[0]), background)
        canvas.paste(Image.fromarray(picture), (0, 0), _stencil(where))
        return np.asarray(canvas)
    alpha = where.view(np.uint8) * np.uint8(255)
    # Transparent pixels are set to black, so that the file does not contain what was cut away.
    return np.dstack([picture & alpha[..., None], alpha])


def side_by_side(*pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures of one height next to each other, with white gaps."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(row[:-1], axis=1)


def outline(
    mask: NDArray[Any], labels: Labels, width: int = 1, objects: NDArray[Any] | None = None
) -> NDArray[np.bool_]:
    """Return the pixels of every class except background that are within ``width`` pixels of another class.

    If objects are given, borders between objects count instead of borders between classes.

    The outermost line consists of pixels that touch another class to the right, left, above or below; further
    lines grow alternately by edges and by corners, which keeps round shapes round. The border of the image is
    not an edge.

    Raises:
        OptionError: the width is negative.
    """
    if width < 0:
        raise OptionError(f"the line width must be at least 0 pixels, got {width}")
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
        # Both sides of every boundary are marked, so growing never crosses a boundary.
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
    """Return the entry of a table of at least 256 values for each class of a mask."""
    if mask.dtype != np.uint8 or table.dtype != np.uint8:
        return table[mask]
    # Several times as fast as indexing, which would first convert each class to a 64-bit index.
    return np.frombuffer(bytearray(mask.tobytes()).translate(table[:256].tobytes()), np.uint8).reshape(
        mask.shape
    )


def _blended(planes: NDArray[np.uint8], labels: Labels) -> tuple[NDArray[Any], Labels]:
    """Return a mask and labels with one class per combination of classes, in the mean of their colours."""
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
