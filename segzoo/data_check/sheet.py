"""Draws a contact sheet: a title, the colours of the classes, and cells with names below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segzoo.images import displayed
from segzoo.prediction.segmentation import Segmentation
from segzoo.printing import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.specs import Labels

_CELL, _GAP, _CAPTION, _MARGIN, _HEADER = 240, 20, 30, 36, 128
#: Cells are drawn larger and then shrunk, for smooth outlines.
_SUPERSAMPLED = 2
_PAPER, _PANEL, _INK, _FAINT, _ALARM = "#15171c", "#1f2229", "#eceef2", "#8b919e", "#ff8a7a"
_MOST_IN_LEGEND = 16


@dataclass(frozen=True)
class Cell:
    """One image on the sheet.

    Attributes:
        name: name of the sample.
        split: split of the sample.
        image: ``(H, W, C)`` uint8, if it can be read.
        mask: ``(H, W)`` class indices, if they are known.
        trouble: the problem with it, in two or three words.
        like: the image whose levels decide about brightening, if not its own.
        why: why it cannot be read, with the file.
    """

    name: str
    split: str
    image: NDArray[np.uint8] | None
    mask: NDArray[np.uint8] | None
    trouble: str = ""
    like: NDArray[np.uint8] | None = None
    why: str = ""


def draw_sheet(
    title: str, subtitle: str, cells: Sequence[Cell], labels: Labels, *, columns: int | None = None
) -> Image.Image:
    """Return the sheet; the last class of ``labels`` is void, and listed only if it occurs.

    Cells fill rows of ``columns``; if ``None``, there are about 1.5 times as many columns as rows.
    """
    columns = max(columns or math.ceil(math.sqrt(len(cells) * 1.5)), 3)
    rows = math.ceil(len(cells) / columns)
    width = 2 * _MARGIN + columns * (_CELL + _GAP) - _GAP
    legend = _legend(cells, labels, width - 2 * _MARGIN)
    top = _HEADER + 26 * (max((row for row, *_ in legend), default=0))
    height = top + rows * (_CELL + _CAPTION + _GAP) + _MARGIN - _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, 26), _fitted(printable(title), _font(30), width - 2 * _MARGIN), _INK, _font(30))
    pen.text((_MARGIN, 66), _fitted(printable(subtitle), _font(15), width - 2 * _MARGIN), _FAINT, _font(15))
    for row, x, colour, name in legend:
        y = 94 + 26 * row
        pen.rounded_rectangle((_MARGIN + x, y, _MARGIN + x + 14, y + 14), 4, colour)
        pen.text((_MARGIN + x + 22, y - 2), name, _INK, _font(15))
    for position, cell in enumerate(cells):
        row, column = divmod(position, columns)
        x, y = _MARGIN + column * (_CELL + _GAP), top + row * (_CELL + _CAPTION + _GAP)
        _draw_cell(sheet, pen, cell, labels, x, y)
    return sheet


def _draw_cell(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, labels: Labels, x: int, y: int
) -> None:
    pen.rounded_rectangle((x, y, x + _CELL - 1, y + _CELL - 1), 8, _PANEL)
    if cell.image is not None:
        picture = _picture(cell.image, cell.mask, labels, cell.like)
        place = x + (_CELL - picture.width) // 2, y + (_CELL - picture.height) // 2
        corners = Image.new("L", picture.size, 0)
        ImageDraw.Draw(corners).rounded_rectangle((0, 0, picture.width - 1, picture.height - 1), 8, 255)
        sheet.paste(picture, place, corners)
    said = cell.trouble or cell.split
    tag = _fitted(printable(said), _font(12), _CELL // 2)
    room = _CELL - pen.textlength(tag, _font(12)) - 10
    pen.text((x + 2, y + _CELL + 6), _fitted(printable(cell.name), _font(13), room), _INK, _font(13))
    pen.text((x + _CELL - 2, y + _CELL + 7), tag, _ALARM if cell.trouble else _FAINT, _font(12), anchor="ra")


def _picture(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
    labels: Labels,
    like: NDArray[np.uint8] | None,
) -> Image.Image:
    """Return the image with its mask, as large as the cell allows."""
    height, width = image.shape[:2]
    scale = _CELL / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    large = size[0] * _SUPERSAMPLED, size[1] * _SUPERSAMPLED
    picture = Image.fromarray(displayed(image))
    pixels = np.asarray(picture.resize(large, Image.Resampling.BICUBIC, reducing_gap=2))
    pixels = brightened(pixels, pixels if like is None else like)
    if mask is None:
        return Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
    planes = (mask == 1).view(np.uint8) if labels.overlapping else mask[None]
    shown = [np.asarray(Image.fromarray(one).resize(large, Image.Resampling.NEAREST)) for one in planes]
    classes = np.stack(shown) if labels.overlapping else shown[0]
    drawn = Segmentation(mask=classes, labels=labels, image=pixels).overlay(opacity=0.4)
    return drawn.resize(size, Image.Resampling.BOX)


def brightened(pixels: NDArray[np.uint8], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brighten pixels for display if ``like`` is dark almost everywhere, such as fluorescence."""
    high = float(np.percentile(like, 99.5))
    if high >= 140 or high < 2:
        return pixels
    low = float(np.percentile(like, 1))
    stretched = np.clip((pixels.astype(np.float32) - low) / max(high - low, 1), 0, 1) ** 0.8
    return np.rint(stretched * 235).astype(np.uint8)


def _legend(cells: Sequence[Cell], labels: Labels, width: int) -> list[tuple[int, int, str, str]]:
    """Return row, x, colour and name of each class except background, wrapped to the width."""
    void = len(labels.classes) - 1
    occurs = labels.overlapping or any(cell.mask is not None and (cell.mask == void).any() for cell in cells)
    listed = [index for index in labels.foreground if index != void or occurs]
    entries = [(printable(labels.classes[index]), labels.colours[index]) for index in listed]
    more = len(entries) - _MOST_IN_LEGEND
    shown = [("#{:02x}{:02x}{:02x}".format(*colour), name) for name, colour in entries[:_MOST_IN_LEGEND]]
    if more > 0:
        shown.append((_FAINT, f"and {more} more"))
    row, x, placed = 0, 0, []
    for colour, name in shown:
        length = int(_font(15).getlength(name)) + 48
        if x and x + length > width:
            row, x = row + 1, 0
        placed.append((row, x, colour, name))
        x += length
    return placed


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Return a text that fits into a width, shortened in its middle."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        if font.getlength(short) <= width:
            return short
    return ""


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
