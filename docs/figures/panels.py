"""Pieces of the drawings of metrics: masks on a grid, legends, lines of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from drawing import Drawing
    from numpy.typing import NDArray

#: Colour of a pixel, sign for readers who do not see colours, and meaning.
PIXELS = (
    ("hit", "", "both"),
    ("extra", "+", "only predicted: FP"),
    ("missed", "\N{MINUS SIGN}", "only true: FN"),
)

Where = tuple[float, float, float]


def overlap(drawing: Drawing, where: Where, predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> None:
    """Draw which pixels are in both masks, in one alone, in none.

    Args:
        drawing: what to draw on.
        where: x and y of the top left corner, and the side of a pixel.
        predicted: ``(H, W)``.
        true: ``(H, W)``.
    """
    kinds = np.full(true.shape, -1)
    for kind, where_it_is in enumerate((predicted & true, predicted & ~true, true & ~predicted)):
        kinds[where_it_is] = kind
    x, y, side = where
    for (row, column), kind in np.ndenumerate(kinds):
        colour, sign, _ = PIXELS[kind] if kind >= 0 else ("plain", "", "")
        left, top = x + column * side, y + row * side
        drawing.box(left, top, side, side, fill=colour, stroke="paper")
        if sign:
            drawing.text(
                left + side / 2, top + side * 0.74, sign, size=side * 0.7, anchor="middle", fill="bright"
            )


def numbered(drawing: Drawing, where: Where, objects: NDArray[np.int64], colours: tuple[str, ...]) -> None:
    """Draw objects in one colour each, with their numbers in the middle; as `overlap`."""
    x, y, side = where
    for (row, column), number in np.ndenumerate(objects):
        fill = colours[(int(number) - 1) % len(colours)] if number else "plain"
        drawing.box(x + column * side, y + row * side, side, side, fill=fill, stroke="paper")
    for number in range(1, int(objects.max()) + 1):
        row, column = np.argwhere(objects == number).mean(axis=0) + 0.5
        drawing.text(
            x + column * side, y + row * side + 5, str(number), anchor="middle", fill="bright", bold=True
        )


def legend(drawing: Drawing, x: float, y: float) -> None:
    """Say what the colours of `overlap` mean, in a line."""
    for colour, sign, meaning in PIXELS:
        drawing.box(x, y - 11, 14, 14, fill=colour, stroke="paper")
        if sign:
            drawing.text(x + 7, y, sign, size=12, anchor="middle", fill="bright")
        drawing.text(x + 20, y, meaning, size=12, fill="faint")
        x += 40 + 6.6 * len(meaning)


def lines(drawing: Drawing, x: float, y: float, told: list[str], *, size: float = 13) -> float:
    """Write lines of numbers below each other; return the baseline of the line after."""
    for line in told:
        drawing.text(x, y, line, size=size, mono=True)
        y += size * 1.5
    return y
