"""Drawings as SVG text, in the reader's light or dark scheme, narrow enough for a phone."""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

#: As wide as a drawing may be, so that its words are read on a phone without zooming.
WIDTH = 420

#: Of each colour by name: in a light scheme and in a dark one.
COLOURS = {
    "ink": ("#1f2328", "#e6e6e6"),
    "faint": ("#57606a", "#a3a9b1"),
    "paper": ("#ffffff", "#1b1d21"),
    "line": ("#c3c9d0", "#4a5058"),
    "plain": ("#eef1f4", "#2a2e34"),
    "hit": ("#3f83c8", "#4a8fd6"),
    "extra": ("#e8a33d", "#d9952f"),
    "missed": ("#c65b9b", "#c8639f"),
    "void": ("#d8dce1", "#3a3f46"),
    "wood": ("#f3e6d3", "#453a2c"),
    "glass": ("#dcebfa", "#22384f"),
    "stone": ("#e2e5e9", "#33383f"),
    "roof": ("#c65b3c", "#a5492f"),
    "bright": ("#ffffff", "#ffffff"),
}

Anchor = Literal["start", "middle", "end"]


class Drawing:
    """A drawing to which shapes and words are added.

    Args:
        height: height in pixels.
        title: description of the drawing, also for screen readers.
        width: width in pixels.
    """

    def __init__(self, height: float, title: str, *, width: float = WIDTH) -> None:
        self.height, self.title, self.width = height, title, width
        self._parts: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "plain",
        stroke: str = "line",
        radius: float = 0,
        dashed: bool = False,
    ) -> None:
        """Draw a rectangle."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        edge = f' rx="{_n(radius)}"' if radius else ""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"{edge} '
            f'fill="{_paint(fill)}" stroke="{_paint(stroke)}"{dash}/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 13,
        anchor: Anchor = "start",
        fill: str = "ink",
        bold: bool = False,
        mono: bool = False,
    ) -> None:
        """Write a line of words whose baseline is at ``y``."""
        # Spaces count where numbers stand below each other.
        face = (
            ' font-family="ui-monospace, Menlo, Consolas, monospace" style="white-space:pre"' if mono else ""
        )
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" text-anchor="{anchor}" '
            f'fill="{_paint(fill)}"{weight}{face}>{escape(words)}</text>'
        )

    def paragraph(
        self, x: float, y: float, words: str, *, letters: int, size: float = 13, fill: str = "ink"
    ) -> float:
        """Write words in lines of at most ``letters`` letters; return the baseline of the line after."""
        for line in wrap(words, letters):
            self.text(x, y, line, size=size, fill=fill)
            y += size * 1.35
        return y

    def path(
        self,
        points: Sequence[tuple[float, float]],
        *,
        stroke: str = "ink",
        fill: str = "none",
        width: float = 1.5,
        dashed: bool = False,
        closed: bool = False,
    ) -> None:
        """Draw a line through points."""
        steps = " L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<path d="M{steps}{" Z" if closed else ""}" fill="{_paint(fill)}" stroke="{_paint(stroke)}" '
            f'stroke-width="{_n(width)}" stroke-linejoin="round"{dash}/>'
        )

    def arrow(self, x: float, y: float, to_x: float, to_y: float, *, stroke: str = "faint") -> None:
        """Draw a line with a head; straight down, up, left or right."""
        self.path([(x, y), (to_x, to_y)], stroke=stroke)
        ahead = (_sign(to_x - x), _sign(to_y - y))
        back = (to_x - 6 * ahead[0], to_y - 6 * ahead[1])
        wings = [(back[0] + side * 4 * ahead[1], back[1] + side * 4 * ahead[0]) for side in (1, -1)]
        self.path([wings[0], (to_x, to_y), wings[1]], stroke=stroke)

    def svg(self) -> str:
        """Return the drawing as a file's text."""
        light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in COLOURS.items()) for i in (0, 1))
        size = f"{_n(self.width)} {_n(self.height)}"
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{_n(self.width)}" '
            f'height="{_n(self.height)}" role="img" font-family="system-ui, sans-serif">\n'
            f"<title>{escape(self.title)}</title>\n"
            f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>\n"
            f'<rect width="{_n(self.width)}" height="{_n(self.height)}" rx="6" fill="var(--paper)"/>\n'
            f"{body}\n</svg>\n"
        )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _paint(name: str) -> str:
    if name == "none":
        return name
    if name not in COLOURS:
        raise KeyError(f"no colour is named {name!r}: {', '.join(COLOURS)}")
    return f"var(--{name})"


def _n(value: float) -> str:
    """Return a number in its shortest form, the same on every machine."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
