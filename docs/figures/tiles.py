"""How an image is cut into tiles: what the network sees of one, and what is kept of it."""

from __future__ import annotations

from drawing import Drawing

from segzoo.prediction.tiling.layout import cut

_HEIGHT, _WIDTH, _TILE, _OVERLAP, _GRID = 248, 396, 144, 64, 16


def tiles() -> Drawing:
    """Draw the tiles of an image, cut as prediction cuts them."""
    rows, columns = (cut(side, _TILE, _OVERLAP, _GRID, smooth=False) for side in (_HEIGHT, _WIDTH))
    drawing = Drawing(
        _HEIGHT + 126,
        "An image in tiles: what the network sees of one tile, and what is kept",
    )
    x, y = 12, 12
    drawing.box(x, y, _WIDTH, _HEIGHT, fill="plain")
    row, column = rows[1], columns[1]
    drawing.box(x, y + row.start, _WIDTH, row.length, fill="wood", stroke="none")
    drawing.box(
        x + column.start, y + row.start, column.length, row.length, fill="extra", stroke="ink", dashed=True
    )
    (top, bottom), (left, right) = row.core, column.core
    drawing.box(x + left, y + top, right - left, bottom - top, fill="hit", stroke="none")
    for one in rows[1:]:
        drawing.path([(x, y + one.core[0]), (x + _WIDTH, y + one.core[0])], stroke="faint", width=1)
    for one in columns[1:]:
        drawing.path([(x + one.core[0], y), (x + one.core[0], y + _HEIGHT)], stroke="faint", width=1)
    told = (
        ("extra", "area of one tile that the network sees"),
        ("hit", "area that is kept: neighbouring tiles keep the rest"),
        ("wood", "image rows that are in memory at this time"),
    )
    for number, (colour, words) in enumerate(told):
        below = y + _HEIGHT + 26 + number * 22
        drawing.box(x, below - 12, 16, 16, fill=colour)
        drawing.text(x + 24, below + 1, words)
    drawing.text(
        x,
        y + _HEIGHT + 100,
        "The orange margin is as wide as the network sees, so blue is exact.",
        size=12,
        fill="faint",
    )
    return drawing
