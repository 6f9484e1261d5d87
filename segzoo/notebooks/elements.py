"""Pieces of HTML that notebooks show; styles are in the elements, since notebooks drop style sheets."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING

from segzoo.printing import markup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL import Image

_LINE = "1px solid rgba(128, 128, 128, 0.4)"
_CELL = f"padding: 0.2em 0.8em 0.2em 0; text-align: left; vertical-align: top; border-bottom: {_LINE}; "
_CELL += "font-variant-numeric: tabular-nums"

#: Pixels of the longer side below which a picture is shown larger than it is.
_SMALL = 160


def card(*parts: str, label: str) -> str:
    """Return parts below one another, as one thing.

    Args:
        parts: HTML.
        label: what it is, for those who hear it.
    """
    style = "color: inherit; background: none; font-family: sans-serif; line-height: 1.4; max-width: 60em"
    return f'<section aria-label="{markup(label)}" style="{style}">{"".join(parts)}</section>'


def heading(text: str, about: str = "") -> str:
    """Return a line that says what is shown."""
    more = f' <span style="opacity: 0.75">{markup(about)}</span>' if about else ""
    return f'<p style="margin: 0 0 0.5em 0"><strong>{markup(text)}</strong>{more}</p>'


def picture(image: Image.Image, *, alt: str, caption: str, lossless: bool) -> str:
    """Return a picture that carries its pixels.

    Args:
        image: small.
        alt: what is seen, for those who hear it.
        caption: below it.
        lossless: whether every pixel counts, which takes more room.
    """
    file = BytesIO()
    kind = "png" if lossless else "jpeg"
    options = {"optimize": True} if lossless else {"quality": 90}
    image.save(file, kind, **options)
    source = f"data:image/{kind};base64,{b64encode(file.getvalue()).decode('ascii')}"
    times = max(1, _SMALL // max(image.size))
    width, height = (side * times for side in image.size)
    style = "display: block; max-width: 100%; height: auto; image-rendering: " + (
        "pixelated" if lossless or times > 1 else "auto"
    )
    return (
        '<figure style="display: inline-block; margin: 0 1em 0.5em 0; vertical-align: top">'
        f'<img src="{source}" alt="{markup(alt)}" width="{width}" height="{height}" style="{style}">'
        f'<figcaption style="opacity: 0.75">{markup(caption)}</figcaption></figure>'
    )


def swatch(colour: Sequence[int]) -> str:
    """Return a small square of a colour, whose name stands beside it."""
    red, green, blue = colour
    style = (
        f"display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.4em; vertical-align: -0.1em; "
        f"background: #{red:02x}{green:02x}{blue:02x}; border: {_LINE}"
    )
    return f'<span aria-hidden="true" style="{style}"></span>'


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = (), caption: str = "") -> str:
    """Return a table.

    Args:
        rows: of cells that are HTML; without a header, the first of a row says what follows it.
        header: of the columns, plain text.
        caption: above it, plain text.
    """
    told = f'<caption style="text-align: left; opacity: 0.75">{markup(caption)}</caption>' if caption else ""
    head = "".join(f'<th scope="col" style="{_CELL}">{markup(name)}</th>' for name in header)
    head = f"<thead><tr>{head}</tr></thead>" if header else ""
    lines = "".join(f"<tr>{_cells(row, named=not header)}</tr>" for row in rows)
    style = "border-collapse: collapse; margin: 0 0 0.5em 0; background: none; color: inherit"
    return f'<table style="{style}">{told}{head}<tbody>{lines}</tbody></table>'


def details(summary: str, inside: str) -> str:
    """Return what is seen when people ask for it."""
    return f"<details><summary>{markup(summary)}</summary>{inside}</details>"


def _cells(row: Sequence[str], *, named: bool) -> str:
    first, *rest = row
    start = (
        f'<th scope="row" style="{_CELL}; font-weight: normal; opacity: 0.75">{first}</th>'
        if named
        else f'<td style="{_CELL}">{first}</td>'
    )
    return start + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in rest)
