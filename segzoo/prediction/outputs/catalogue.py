"""What outputs there are: a line each. Imports none of them."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from segzoo.specs import OutputSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_NUMBERS = (".png", ".tif", ".tiff", ".npy")
_IMAGE, _SCORES = ("image",), ("probabilities",)


def _output(code: str, summary: str, *formats: str, **more: Any) -> OutputSpec:
    name, factory = code.partition(":")[0], f"segzoo.prediction.outputs.{code}"
    given = {"suffix": f"_{name}{formats[0]}", "by_rows": True, **more}
    return OutputSpec(name=name, factory=factory, summary=summary, formats=formats, **given)


#: Every kind of file, by the name that asks for it.
OUTPUTS: Mapping[str, OutputSpec] = {
    output.name: output
    for output in (
        _output("mask:Mask", "class indices, with the colours of the classes as palette", *_NUMBERS),
        _output("values:Values", "the values of the masks that the network learnt from", *_NUMBERS),
        _output("binary:Binary", "white where any class but background is, 1 bit a pixel", ".png"),
        _output("colour:Colour", "the colours of the classes", *_PICTURES, memory=16),
        _output("overlay:Overlay", "the image, tinted and outlined", *_PICTURES, memory=40, needs=_IMAGE),
        _output("cutout:Cutout", "what is not background", *_PICTURES, memory=24, needs=_IMAGE),
        _output("contours:Contours", "the image with outlines", *_PICTURES, memory=40, needs=_IMAGE),
        _output("sheet:Sheet", "image, mask and overlay side by side", *_PICTURES, memory=96, needs=_IMAGE),
        _output("probabilities:Probabilities", "(classes, height, width), float16", ".npy", needs=_SCORES),
        _output("coco:Coco", "an object per connected component, as COCO has it", ".json", by_rows=False),
        _output(
            "geojson:GeoJson",
            "a polygon per connected component, in pixels",
            *(".geojson", ".json"),
            suffix="_objects.geojson",
            by_rows=False,
        ),
        _output("areas:Areas", "pixels and share of each class", ".csv"),
    )
}


def read_format(word: str) -> tuple[str, str]:
    """Return the output that ``mask:tif`` asks for, and its suffix; "" where no format is named."""
    name, colon, ending = word.partition(":")
    if not colon or name not in OUTPUTS:
        return word, ""
    return name, f"{PurePath(OUTPUTS[name].suffix).stem}.{ending}"
