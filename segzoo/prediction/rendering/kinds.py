"""The kinds of files that a segmentation can be written as: what is in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np

from segzoo.errors import OptionError
from segzoo.prediction.rendering.documents import areas_to_csv, to_coco, to_geojson, to_json
from segzoo.prediction.rendering.encoding import (
    PICTURES,
    encode_picture,
    png_of_bits,
    png_of_indices,
    png_of_values,
)
from segzoo.prediction.rendering.painting import look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

    from segzoo.prediction.segmentation import Segmentation


@dataclass(frozen=True)
class Job:
    """What one file is made from.

    Attributes:
        segmentation: with the wanted classes alone.
        options: chosen by a person.
        suffix: of the file, in small letters.
        source: the name of the image.
    """

    segmentation: Segmentation
    options: OutputOptions
    suffix: str
    source: str


@dataclass(frozen=True)
class Output:
    """A kind of file.

    Attributes:
        name: by which it is asked for.
        suffix: what follows the name of the image, unless told otherwise.
        about: one line for people.
        encode: makes the contents.
        formats: suffixes that it can have.
    """

    name: str
    suffix: str
    about: str
    encode: Callable[[Job], bytes]
    formats: tuple[str, ...]


def _mask(job: Job) -> bytes:
    return png_of_indices(job.segmentation.mask, job.segmentation.labels.colours)


def _values(job: Job) -> bytes:
    """Write the values that stood for the classes in the masks that the network learnt from."""
    labels, mask = job.segmentation.labels, job.segmentation.mask
    values = labels.values or tuple(range(len(labels.classes)))
    table = np.zeros(max(len(values), 256), np.uint8 if max(values) < 256 else np.uint16)
    table[: len(values)] = values
    return png_of_values(look_up(mask, table))


def _binary(job: Job) -> bytes:
    return png_of_bits(job.segmentation.mask > 0)


def _picture(draw: Callable[[Job], Image.Image]) -> Callable[[Job], bytes]:
    def encode(job: Job) -> bytes:
        return encode_picture(np.asarray(draw(job)), job.suffix, quality=job.options.quality)

    return encode


def _overlay(job: Job) -> Image.Image:
    width = 1 if job.options.line_width is None else job.options.line_width
    return job.segmentation.overlay(job.options.opacity, line_width=width)


def _cutout(job: Job) -> Image.Image:
    background = job.options.background
    if background is None and job.suffix in (".jpg", ".jpeg"):
        background = (255, 255, 255)
    return job.segmentation.cutout(background)


def _sheet(job: Job) -> Image.Image:
    width = 1 if job.options.line_width is None else job.options.line_width
    return job.segmentation.sheet(job.options.opacity, line_width=width)


def _probabilities(job: Job) -> bytes:
    chances = job.segmentation.probabilities
    if chances is None:
        raise OptionError("probabilities were not kept: predict with probabilities=True")
    file = BytesIO()
    np.save(file, chances.astype(np.float16), allow_pickle=False)
    return file.getvalue()


def _coco(job: Job) -> bytes:
    instances = job.segmentation.instances(job.options.connectivity)
    return to_json(to_coco(instances, job.segmentation.labels, job.source, job.options.coco))


def _geojson(job: Job) -> bytes:
    instances = job.segmentation.instances(job.options.connectivity)
    return to_json(to_geojson(instances, job.segmentation.labels))


def _areas(job: Job) -> bytes:
    segmentation = job.segmentation
    return areas_to_csv(segmentation.mask, segmentation.labels, segmentation.areas)


_PNG = (".png",)
#: Every kind of file, by the name that asks for it.
OUTPUTS: Mapping[str, Output] = {
    output.name: output
    for output in (
        Output("mask", "_mask.png", "class indices, with the colours of the classes as palette", _mask, _PNG),
        Output(
            "values", "_values.png", "the values of the masks that the network learnt from", _values, _PNG
        ),
        Output(
            "binary", "_binary.png", "white where any class but background is, 1 bit a pixel", _binary, _PNG
        ),
        Output(
            "colour",
            "_colour.png",
            "the colours of the classes",
            _picture(lambda job: job.segmentation.colour_image()),
            PICTURES,
        ),
        Output("overlay", "_overlay.png", "the image, tinted and outlined", _picture(_overlay), PICTURES),
        Output("cutout", "_cutout.png", "what is not background", _picture(_cutout), PICTURES),
        Output(
            "contours",
            "_contours.png",
            "the image with outlines",
            _picture(lambda job: job.segmentation.contours(job.options.line_width)),
            PICTURES,
        ),
        Output("sheet", "_sheet.png", "image, mask and overlay side by side", _picture(_sheet), PICTURES),
        Output(
            "probabilities",
            "_probabilities.npy",
            "probabilities (classes, height, width), float16",
            _probabilities,
            (".npy",),
        ),
        Output("coco", "_coco.json", "an object per connected component, as COCO has it", _coco, (".json",)),
        Output(
            "geojson",
            "_objects.geojson",
            "a polygon per connected component, in pixels",
            _geojson,
            (".geojson", ".json"),
        ),
        Output("areas", "_areas.csv", "pixels and share of each class", _areas, (".csv",)),
    )
}


# What a person can choose about the files that are written.


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How outputs look, what they hold and how they are called.

    Attributes:
        opacity: of the tint of overlays, 0 (none) to 1 (the colour alone).
        line_width: pixels of outlines; ``None`` draws 1 in overlays, and contours that grow with the image.
        background: (red, green, blue) behind cut-outs; ``None`` leaves it transparent, or white in a JPEG.
        classes: names or indices of the classes that are wanted; all others become background
            in every output but the probabilities. Empty wants all.
        connectivity: 4 or 8: how pixels join into the objects of ``coco`` and ``geojson``.
        coco: ``rle`` or ``polygons``.
        quality: 1 to 100, of JPEG and WebP.
        suffixes: by output, what follows the name of the image, such as ``{"overlay": "_seen.jpg"}``;
            pictures take the format that it names.
        overwrite: whether files that exist are replaced; otherwise they are an error.
    """

    opacity: float = 0.35
    line_width: int | None = None
    background: tuple[int, int, int] | None = None
    classes: tuple[str | int, ...] = ()
    connectivity: int = 8
    coco: Literal["rle", "polygons"] = "rle"
    quality: int = 90
    suffixes: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise OptionError(f"opacity must lie in 0 to 1, got {self.opacity}")
        if self.line_width is not None and self.line_width < 0:
            raise OptionError(f"a line must be at least 0 pixels wide, got {self.line_width}")
        if self.connectivity not in (4, 8):
            raise OptionError(f"connectivity must be 4 or 8, got {self.connectivity!r}")
        if self.coco not in ("rle", "polygons"):
            raise OptionError(f"coco must be rle or polygons, got {self.coco!r}")
        if not 1 <= self.quality <= 100:
            raise OptionError(f"quality must lie in 1 to 100, got {self.quality}")
        if self.background is not None and not (
            len(self.background) == 3 and all(0 <= level <= 255 for level in self.background)
        ):
            raise OptionError(f"a background is red, green and blue in 0 to 255, got {self.background}")
