"""Self-contained HTML that notebooks show for segmentations and models.

The HTML loads nothing from a server, runs no script, and uses the colours of the page, light or dark. Text
that comes from a file is escaped. Slow imports happen only when something is shown.
"""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.labels import background_name
from segzoo.printing import markup
from segzoo.words import preprocessing_steps, stated_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.config import ModelConfig

#: Pixels of a thumbnail's longer side.
SIDE = 320

#: Classes that are named at once.
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


# A model: what it is, what it expects, and what it reaches.


def model_html(
    kind: str, *, parameters: int, logits: int, stride: int, where: str, config: ModelConfig | None
) -> str:
    """Return a model as self-contained HTML.

    Args:
        kind: name of its Python class.
        parameters: number of parameters.
        logits: number of channels that it returns.
        stride: stride of its coarsest features.
        where: device and type of its parameters.
        config: how it was built and how it predicts, if that is known.
    """
    rows = [
        ("parameters", f"{parameters:,}"),
        ("stride", f"{stride} at the coarsest"),
        ("weights", markup(where)),
    ]
    if config is None:
        rows.append(("logits", str(logits)))
        return card(heading(kind), table(rows), label=kind)
    name = config.architecture.name
    channels = config.architecture.in_channels
    rows[1:1] = [("images", f"{channels} channel{'s' if channels != 1 else ''}"), ("logits", str(logits))]
    rows.append(("classes", _classes(config)))
    if config.labels.overlapping:
        rows.append(("overlapping", "yes: a sigmoid for each class"))
    elif config.labels.background != 0:
        rows.append(("background", markup(background_name(config.labels) or "none")))
    rows.append(("preprocessing", markup(preprocessing_steps(config.preprocessing))))
    if config.has_threshold:
        rows.append(("threshold", f"{config.threshold:g}"))
    if config.separator is not None:
        rows.append(("touching objects", f"told apart by the last logit, their {config.separator.kind}"))
    if config.provenance.get("data"):
        rows.append(("trained on", markup(str(config.provenance["data"]))))
    if config.provenance:
        rows.append(("licence", markup(config.licence or "not stated")))
    return card(heading(kind, name), table(rows), *_scores(config.provenance), label=f"{kind} {name}")


def _classes(config: ModelConfig) -> str:
    labels = config.labels
    named = list(zip(labels.classes, labels.colours, strict=True))
    shown = [
        f'<span style="white-space: nowrap">{swatch(colour)}{markup(name)}</span>'
        for name, colour in named[:MOST]
    ]
    more = [f"{len(named) - MOST} more"] if len(named) > MOST else []
    return " &ensp;".join([*shown, *more])


def _scores(provenance: Mapping[str, Any]) -> list[str]:
    """Return every number that the weights state, with its contract; those of single classes left out."""
    rows, last = [], ""
    for one in stated_scores(provenance):
        if " classes " in f" {one.name} ":
            continue
        told = "as above" if one.contract == last else markup(one.contract)
        rows.append((markup(one.name), f"{one.value:.4f}{markup(one.interval).replace(' ', '&nbsp;')}", told))
        last = one.contract
    claimed = provenance.get("claimed")
    parts = []
    if rows:
        parts = [details(f"{len(rows)} scores", table(rows, header=("measured", "value", "contract")))]
    if claimed:
        parts.append(heading("claimed by their authors", str(claimed)))
    return parts


# The pieces. Styles are in the elements, since notebooks drop style sheets.

_LINE = "1px solid rgba(128, 128, 128, 0.4)"
_CELL = f"padding: 0.2em 0.8em 0.2em 0; text-align: left; vertical-align: top; border-bottom: {_LINE}; "
_CELL += "font-variant-numeric: tabular-nums"

#: Pixels of the longer side below which a picture is shown larger than it is.
_SMALL = 160


def card(*parts: str, label: str) -> str:
    """Return a section that shows parts below one another.

    Args:
        parts: HTML of each part.
        label: label for screen readers.
    """
    style = "color: inherit; background: none; font-family: sans-serif; line-height: 1.4; max-width: 60em"
    return f'<section aria-label="{markup(label)}" style="{style}">{"".join(parts)}</section>'


def heading(text: str, about: str = "") -> str:
    """Return a line that says what is shown."""
    more = f' <span style="opacity: 0.75">{markup(about)}</span>' if about else ""
    return f'<p style="margin: 0 0 0.5em 0"><strong>{markup(text)}</strong>{more}</p>'


def picture(image: Image.Image, *, alt: str, caption: str, lossless: bool) -> str:
    """Return a picture whose pixels are embedded in the HTML.

    Args:
        image: small image.
        alt: description of the picture, for screen readers.
        caption: text below the picture.
        lossless: whether to keep every pixel exactly, which makes the HTML larger.
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
        f'<figcaption style="color: inherit; opacity: 0.75">{markup(caption)}</figcaption></figure>'
    )


def swatch(colour: Sequence[int]) -> str:
    """Return a small square of a colour, to put next to the name of a class."""
    red, green, blue = colour
    style = (
        f"display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.4em; vertical-align: -0.1em; "
        f"background: #{red:02x}{green:02x}{blue:02x}; border: {_LINE}"
    )
    return f'<span aria-hidden="true" style="{style}"></span>'


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = (), caption: str = "") -> str:
    """Return a table.

    Args:
        rows: rows of cells that are HTML; without a header, the first cell of each row is the row's header.
        header: headers of the columns, plain text.
        caption: text above the table, plain text.
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
