"""A segmentation in a notebook: the overlay, the mask, and what covers how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segzoo.notebooks.elements import card, details, heading, picture, swatch, table
from segzoo.printing import markup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Pixels of a thumbnail's longer side.
SIDE = 320

#: Classes of a legend that are seen at once.
MOST = 12


def segmentation_html(
    overlay: Image.Image,
    mask: Image.Image,
    *,
    size: tuple[int, int],
    areas: Mapping[str, int],
    colours: Sequence[Sequence[int]],
) -> str:
    """Return a segmentation as HTML that stands alone.

    Args:
        overlay: a thumbnail of the image with its classes.
        mask: a thumbnail of the classes alone, in their colours.
        size: height and width of the image.
        areas: pixels of each class, by name, in the order of ``colours``.
        colours: (red, green, blue) of each class.
    """
    height, width = size
    told = shares_in_words(areas, most=4, pixels=height * width)
    shown = f"{width} x {height} pixels, {len(areas)} classes"
    pictures = [
        picture(overlay, alt=f"The image, its classes outlined: {told}", caption="overlay", lossless=False),
        picture(mask, alt=f"The classes in their colours: {told}", caption="mask", lossless=True),
    ]
    return card(
        heading("Segmentation", shown),
        f"<div>{''.join(pictures)}</div>",
        *_legend(areas, colours, pixels=height * width),
        label="Segmentation",
    )


def _legend(areas: Mapping[str, int], colours: Sequence[Sequence[int]], *, pixels: int) -> list[str]:
    """Return the classes that are there, largest first, and in a fold those that are too many or absent."""
    whole = pixels or 1
    by_size = sorted(zip(areas.items(), colours, strict=False), key=lambda one: -one[0][1])
    rows = [
        (f"{swatch(colour)}{markup(name)}", f"{count:,}", f"{100 * count / whole:.2f} %")
        for (name, count), colour in by_size
    ]
    there = sum(count > 0 for count in areas.values())
    seen, header = max(1, min(there, MOST)), ("class", "pixels", "share")
    parts = [table(rows[:seen], header=header)]
    if rows[seen:]:
        more = "1 more class" if len(rows) == seen + 1 else f"{len(rows) - seen} more classes"
        absent = "" if there > MOST else ", not in this image"
        parts.append(details(f"{more}{absent}", table(rows[seen:], header=header)))
    return parts


def shares_in_words(areas: Mapping[str, int], *, most: int, pixels: int) -> str:
    """Return what covers how much of an image, largest first: ``background 76.6 %, nucleus 23.4 %``."""
    whole = pixels or 1
    by_size = sorted(((count, name) for name, count in areas.items() if count), key=lambda one: -one[0])
    told = [f"{name} {100 * count / whole:.1f} %" for count, name in by_size[:most]]
    more = len(by_size) - most
    return ", ".join([*told, *([f"{more} more"] if more > 0 else [])])


def thumbnails(
    image: NDArray[np.uint8], mask: NDArray[np.unsignedinteger], side: int = SIDE
) -> tuple[NDArray[np.uint8], NDArray[np.unsignedinteger]]:
    """Return an image and its mask, small enough to be shown; neither is copied at its full size.

    Args:
        image: ``(H, W, C)`` uint8.
        mask: ``(H, W)``, or ``(K, H, W)`` where classes overlap.
        side: pixels of the longer side, at most.
    """
    height, width = mask.shape[-2:]
    scale = side / max(height, width)
    if scale >= 1:
        return image, mask
    rows = (np.arange(max(1, round(height * scale))) / scale).astype(np.intp).clip(0, height - 1)
    columns = (np.arange(max(1, round(width * scale))) / scale).astype(np.intp).clip(0, width - 1)
    # An image is averaged over what it leaves out, from a sample of it that is four times as large.
    step = max(1, int(1 / scale) // 4)
    sample = image[::step, ::step, : min(image.shape[2], 3)]
    channels = [
        np.asarray(Image.fromarray(np.ascontiguousarray(sample[..., one])).resize((len(columns), len(rows))))
        for one in range(sample.shape[2])
    ]
    return np.stack(channels, axis=2), mask[..., rows[:, None], columns]
