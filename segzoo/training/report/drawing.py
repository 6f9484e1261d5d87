"""Curves over epochs as a PNG file, and as SVG in a page."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from segzoo.printing import markup
from segzoo.training.report.charts import (
    HEAD,
    HEIGHT,
    WIDTH,
    Dot,
    Mark,
    Point,
    Stroke,
    Words,
    lay_out,
    make_charts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.training.report.charts import Chart

#: Colours of the lines, which are also distinct for most colour-blind people: on light paper and on dark.
_LINES = (
    ("#0072b2", "#56b4e9"),
    ("#c24e00", "#f08a3c"),
    ("#00795a", "#2fc79a"),
    ("#a8487f", "#e59cc5"),
    ("#7a5c00", "#e3c34a"),
    ("#5b4bb5", "#a99cf5"),
)
_COLOURS = {
    "title": "#1b1f23",
    "small": "#57606a",
    "grid": "#e6eaee",
    "axis": "#8b949e",
    "best": "#57606a",
    "other": "#b6bec6",
    **{f"line-{number}": light for number, (light, _) in enumerate(_LINES)},
}

#: Drawn this much larger, then shrunk by `_SHRUNK`, for smooth lines.
_SCALE, _SHRUNK = 4, 2
_MARGIN = 24.0

#: Size of plain text.
_TEXT = 12


def _style() -> str:
    lines = "".join(f"--line-{number}:{light};" for number, (light, _) in enumerate(_LINES))
    dark = "".join(f"--line-{number}:{dark};" for number, (_, dark) in enumerate(_LINES))
    drawn = "".join(
        f".line-{number}{{stroke:var(--line-{number});fill:var(--line-{number})}}"
        for number in range(len(_LINES))
    )
    return (
        f":root{{{lines}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"@media print{{:root{{{lines}}}}}\n"
        ".curves path{fill:none;stroke-width:1.75;stroke-linejoin:round}\n"
        f"{drawn}.other{{stroke:var(--muted);opacity:.45}}\n"
        ".curves .grid{stroke:var(--line);stroke-width:1}.curves .axis{stroke:var(--muted);stroke-width:1}\n"
        ".curves .best{stroke:var(--muted);stroke-width:1;stroke-dasharray:4 3}\n"
        ".curves circle{stroke:var(--paper);stroke-width:1.5}\n"
        ".curves text{stroke:none;font-size:12px}\n"
        "@media (max-width:40rem){.curves text{font-size:13.5px}}\n"
        ".curves figcaption strong{display:block;font-size:.925rem}\n"
        ".curves figcaption span{display:inline-block;margin-right:1em;font-size:.8rem}\n"
        ".curves .small{color:var(--muted)}\n"
    ) + "".join(f".curves span.line-{number}{{color:var(--line-{number})}}" for number in range(len(_LINES)))


#: The CSS that `curves_as_svg` needs, in addition to that of all pages.
STYLE = f"{_style()}\n"


def curves_as_svg(rows: Sequence[Mapping[str, float]], best: int | None) -> str:
    """Return a drawing of each curve as HTML, or nothing before the first epoch.

    Args:
        rows: rows of epochs, each with ``epoch``.
        best: the best epoch, which is marked.
    """
    drawn = "".join(_svg(chart) for chart in make_charts(rows, best))
    return f'<div class="plots curves">{drawn}</div>' if drawn else ""


def draw_curves(rows: Sequence[Mapping[str, float]], best: int | None) -> bytes:
    """Return the same curves as a PNG file.

    Args:
        rows: rows of epochs, each with ``epoch``.
        best: the best epoch, which is marked.
    """
    return draw_charts(make_charts(rows, best))


def draw_charts(charts: Sequence[Chart]) -> bytes:
    """Return charts as a PNG file, two per row, on white."""
    columns = 2 if len(charts) > 1 else 1
    down = max(-(-len(charts) // columns), 1)
    width = columns * (WIDTH + _MARGIN) + _MARGIN
    height = down * (HEIGHT + _MARGIN) + _MARGIN
    paper = Image.new("RGB", (round(width * _SCALE), round(height * _SCALE)), "#ffffff")
    pen = ImageDraw.Draw(paper)
    for place, chart in enumerate(charts):
        row, column = divmod(place, columns)
        left, top = (_MARGIN + column * (WIDTH + _MARGIN), _MARGIN + row * (HEIGHT + _MARGIN))
        for mark in [*_head(chart), *lay_out(chart)]:
            _draw(pen, mark, left, top)
    file = io.BytesIO()
    paper.reduce(_SHRUNK).save(file, "PNG")
    return file.getvalue()


def _svg(chart: Chart) -> str:
    marks = "".join(map(_element, lay_out(chart)))
    legend = "".join(f'<span class="{style}">{markup(text)}</span>' for text, style in chart.legend)
    return (
        f"<figure><figcaption><strong>{markup(chart.title)}</strong>{legend}</figcaption>"
        f'<svg viewBox="0 {HEAD:.0f} {WIDTH:.0f} {HEIGHT - HEAD:.0f}" role="img" '
        f'aria-label="{markup(chart.told)}">{marks}</svg></figure>'
    )


def _element(mark: Mark) -> str:
    if isinstance(mark, Stroke):
        way = "L".join(f"{point.x:.1f} {point.y:.1f}" for point in mark.points)
        return f'<path class="{mark.style}" d="M{way}"/>'
    x, y = mark.point
    if isinstance(mark, Dot):
        return f'<circle class="{mark.style}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return (
        f'<text class="{mark.style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{mark.anchor}">'
        f"{markup(mark.text)}</text>"
    )


def _head(chart: Chart) -> list[Mark]:
    """Return the title, and as much of the legend as fits below it."""
    marks: list[Mark] = [Words(Point(0, 14), chart.title, "title")]
    x = 0.0
    for text, style in chart.legend:
        width = _font(_TEXT).getlength(text)
        if x and x + width > WIDTH:
            break
        marks.append(Words(Point(x, 32), text, style))
        x += width + 14
    return marks


def _draw(pen: ImageDraw.ImageDraw, mark: Mark, left: float, top: float) -> None:
    colour = _COLOURS[mark.style]
    points = mark.points if isinstance(mark, Stroke) else [mark.point]
    placed = [((left + x) * _SCALE, (top + y) * _SCALE) for x, y in points]
    if isinstance(mark, Stroke):
        if mark.style == "best":
            _dash(pen, placed, colour)
        else:
            wide = 1.75 if mark.style.startswith("line") else 1.0
            pen.line(placed, colour, round(wide * _SCALE), joint="curve")
    elif isinstance(mark, Dot):
        x, y = placed[0]
        for radius, fill in ((5.5, "#ffffff"), (4.0, colour)):
            reach = radius * _SCALE
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill)
    else:
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor]
        size = 15 if mark.style == "title" else _TEXT
        pen.text(placed[0], mark.text, colour, _font(size * _SCALE), anchor=anchor)


def _dash(pen: ImageDraw.ImageDraw, ends: Sequence[tuple[float, float]], colour: str) -> None:
    """Draw a dashed vertical line."""
    (x, low), (_, high) = ends
    y, piece = min(low, high), 4.0 * _SCALE
    while y < max(low, high):
        pen.line([(x, y), (x, min(y + piece, max(low, high)))], colour, _SCALE)
        y += 1.75 * piece


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
