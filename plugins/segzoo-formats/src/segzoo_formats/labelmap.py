"""The colours of classes, as ``labelmap.txt`` of CVAT and of Datumaro says them.

A line is ``label:red,green,blue:parts:actions``; lines that begin with ``#`` are comments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets import lines_of, many, read_words
from segzoo.errors import FailureError, MaskError
from segzoo.images import open_image
from segzoo.labels import to_classes
from segzoo.specs import VOC_VOID, Labels, voc_colour

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.labels import Colour

#: Names that tools give to the background and to ignored pixels.
BACKGROUND, IGNORED = ("background", "_background_"), ("__ignore__",)

_LINE = re.compile(r"(?P<name>.*?):\s*(?:(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*)?(?::.*)?")


@dataclass(frozen=True)
class LabelMap:
    """What a label map says.

    Attributes:
        labels: the classes with their colours, background first, with an ``ignore_index``.
        ignored: colour of pixels that are ignored.
        colours: the colour of each line, in the file's order, by which masks of one band count.
    """

    labels: Labels
    ignored: Colour = VOC_VOID
    colours: tuple[Colour, ...] = ()

    def decode(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        """Return class indices of a mask in these colours; of one band, by its palette or the file's order.

        Args:
            values: the mask, in the form that `segzoo.labels.read_mask` returns.
            where: the mask's file.

        Raises:
            MaskError: a colour or a value stands for no class.
        """
        if values.ndim == 2:
            with open_image(where) as image:
                palette = np.array(image.info.palette or self.colours, np.uint8).reshape(-1, 3)
            if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= len(palette):
                raise MaskError(
                    f"{where} holds values up to {values.max()}, and {many(len(palette), 'colour')} are "
                    "known: values count the lines of the label map from 0"
                )
            values = palette[values]
        return to_classes(values, self.labels, where, ignore_colour=self.ignored)


def read_label_map(path: Path) -> LabelMap:
    """Read a label map.

    A class without a colour has that of its line's number in Pascal VOC's palette. The background is the
    class that is called so, else the black one; where there is none, it is added. A class of the colour
    224, 224, 192, which is VOC's for the borders of things, or called ``__ignore__``, is ignored.

    Args:
        path: file to read.

    Raises:
        FailureError: it cannot be read, a line is none of a label map, or two classes have one name or one
            colour.
    """
    try:
        text = read_words(path)
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror}") from error
    colours: dict[str, Colour] = {}
    for number, line in enumerate(lines_of(text), start=1):
        if line.strip() and not line.startswith("#"):
            name, colour = _entry(line.strip(), f"{path}, line {number}", len(colours))
            if name in colours:
                raise FailureError(f"{path}, line {number}: a class {name!r} is listed before: rename one")
            colours[name] = colour
    return _label_map(path, colours)


def _entry(line: str, where: str, index: int) -> tuple[str, Colour]:
    found = _LINE.fullmatch(line)
    name = found["name"].strip() if found else ""
    if not found or not name:
        raise FailureError(f"{where}: {line!r} is not label:red,green,blue:parts:actions")
    if found[2] is None:
        return name, voc_colour(index)
    red, green, blue = (int(found[group]) for group in (2, 3, 4))
    if max(red, green, blue) > 255:
        raise FailureError(f"{where}: the colour {red},{green},{blue} of {name!r} lies beyond 255")
    return name, (red, green, blue)


def _label_map(path: Path, colours: dict[str, Colour]) -> LabelMap:
    shared: dict[Colour, str] = {}
    every = tuple(colours.values())
    for name, colour in colours.items():
        if colour in shared:
            raise FailureError(
                f"{path}: the classes {shared[colour]!r} and {name!r} have one colour, {colour}"
            )
        shared[colour] = name
    ignored = next((name for name, colour in colours.items() if colour == VOC_VOID or name in IGNORED), None)
    void = colours.pop(ignored) if ignored is not None else VOC_VOID
    background = next((name for name in colours if name.lower() in BACKGROUND), None)
    if background is None:
        background = next((name for name, colour in colours.items() if colour == (0, 0, 0)), "background")
    behind = colours.pop(background, (0, 0, 0))
    if not colours:
        raise FailureError(f"{path} lists no class besides the background")
    labels = Labels(classes=(background, *colours), palette=(behind, *colours.values()))
    return LabelMap(replace(labels, ignore_index=labels.unused_index), void, every)
