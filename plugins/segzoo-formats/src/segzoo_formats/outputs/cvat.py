"""CVAT's XML for images, version 1.1: polygons, and masks for objects with holes.

CVAT knows the images of a task by their names, so it imports the file into a task that holds them.

The format: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from segzoo.prediction.outputs import Output, find_outlines, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from segzoo.prediction.outputs import Band, Outline, Written
    from segzoo.specs import Labels

#: Beginning and end of the part of a file that lists its images.
_IMAGES, _END = b"</meta>\n", b"</annotations>\n"


class Cvat(Output):
    """The annotations of one image."""

    def draw(self, band: Band) -> bytes:
        """Return the file."""
        found, options = band.segmentation, band.options
        outlines = find_outlines(found.instances(options.connectivity), simplify=options.simplify)
        image = _image(band.file_name, found.size, outlines, found.labels)
        return _head(found.labels) + image.encode() + _END


def join(file: BinaryIO, files: Iterable[Written], labels: Labels) -> None:
    """Write the annotations of all images of a run."""
    file.write(_head(labels))
    for number, one in enumerate(files):
        text = one.path.read_bytes().partition(_IMAGES)[2].removesuffix(_END)
        _, _, rest = text.partition(b" width=")  # what comes before it is number and name
        file.write(f'  <image id="{number}" name={_quoted(one.image)} width='.encode() + rest)
    file.write(_END)


def _head(labels: Labels) -> bytes:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    lines += ["  <meta><task><labels>"]
    for index in labels.foreground:
        colour = "#{:02x}{:02x}{:02x}".format(*labels.colours[index])
        name = escape(printable(labels.classes[index]))
        lines.append(f"    <label><name>{name}</name><color>{colour}</color><type>any</type></label>")
    return "\n".join([*lines, "  </labels></task>"]).encode() + _IMAGES


def _quoted(text: str) -> str:
    return quoteattr(printable(text))


def _image(name: str, size: tuple[int, int], outlines: Iterable[Outline], labels: Labels) -> str:
    height, width = size
    lines = [f'  <image id="0" name={_quoted(name)} width="{width}" height="{height}">']
    lines += [line for one in outlines for line in _shapes(one, _quoted(labels.classes[one.label]))]
    return "\n".join([*lines, "  </image>\n"])


def _shapes(one: Outline, label: str) -> Iterator[str]:
    common = f'label={label} source="auto" occluded="0"'
    if one.is_plain:
        points = ";".join(f"{x}.0,{y}.0" for x, y in one.polygons[0][0].tolist())
        yield f'    <polygon {common} points="{points}" z_order="0"></polygon>'
        return
    left, top, width, height = one.box
    place = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    yield f'    <mask {common} rle="{_runs(one)}" {place} z_order="0"></mask>'


def _runs(one: Outline) -> str:
    """Return runs of pixels outside, inside, outside, ..., row by row, within the box."""
    inside = one.inside.ravel()
    borders = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    runs = np.diff(np.concatenate([[0], borders, [len(inside)]])).tolist()
    return ", ".join(map(str, [0, *runs] if inside[0] else runs))
