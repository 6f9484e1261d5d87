"""The files that a segmentation can be written as, by name.

Everything is written for the upright image at its own size: EXIF rotation is applied when an
image is read, and files written here carry none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from segzoo.errors import FailureError, OptionError, did_you_mean
from segzoo.prediction.classes import class_index
from segzoo.prediction.rendering.documents import areas_to_csv, to_coco, to_geojson, to_json
from segzoo.prediction.rendering.encoding import (
    PICTURES,
    encode_picture,
    png_of_bits,
    png_of_indices,
    png_of_values,
)
from segzoo.prediction.rendering.files import refuse_existing, write_whole
from segzoo.prediction.rendering.options import OutputOptions
from segzoo.prediction.rendering.painting import look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

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


def check_outputs(names: Sequence[str], options: OutputOptions | None = None) -> None:
    """Raise unless outputs can be written together; better said before the first image than after.

    Raises:
        OptionError: there is no such output, a suffix names no format of its output, or two
            outputs would be one file.
    """
    options = options or OutputOptions()
    for name in (*names, *options.suffixes):
        if name not in OUTPUTS:
            known = ", ".join(OUTPUTS)
            raise OptionError(f"there is no output {name!r}{did_you_mean(name, OUTPUTS)}; there are {known}")
    taken: dict[str, str] = {}
    for name in dict.fromkeys(names):
        suffix = _suffix(name, options)
        _format(OUTPUTS[name], PurePath(f"NAME{suffix}"))
        if "/" in suffix or "\\" in suffix:
            raise OptionError(f"the suffix of {name} must not lead into a folder, got {suffix!r}")
        if (other := taken.setdefault(suffix.lower(), name)) != name:
            raise OptionError(f"{other} and {name} would both be written as NAME{suffix}")


def write_outputs(
    segmentation: Segmentation,
    stem: Path,
    names: Sequence[str] = ("mask", "overlay"),
    options: OutputOptions | None = None,
    *,
    source: str = "",
) -> tuple[Path, ...]:
    """Write a segmentation as files beside each other, each whole or not at all.

    Args:
        segmentation: what was found.
        stem: folder and name, to which each output adds its suffix: ``out/cat`` gives ``out/cat_mask.png``.
        names: of `OUTPUTS`.
        options: how they look.
        source: the name of the image, told to programs that read COCO; the stem's unless told.

    Returns:
        The files, in the order of the names.

    Raises:
        OptionError: see `check_outputs`; also if probabilities are wanted and were not kept.
        FailureError: a file exists and may not be replaced (nothing is written then), or cannot be written.
    """
    options = options or OutputOptions()
    check_outputs(names, options)
    names = tuple(dict.fromkeys(names))
    paths = tuple(stem.with_name(stem.name + _suffix(name, options)) for name in names)
    if not options.overwrite:
        for path in paths:
            refuse_existing(path)
    wanted = _only(segmentation, options)
    for name, path in zip(names, paths, strict=True):
        _write(wanted, path, OUTPUTS[name], options, source or stem.name)
    return paths


def write_output(
    segmentation: Segmentation,
    path: Path,
    name: str = "mask",
    options: OutputOptions | None = None,
    *,
    source: str = "",
) -> Path:
    """Write one output under a name of its own; pictures take the format that the name ends in.

    Raises:
        OptionError, FailureError: as `write_outputs`.
    """
    options = options or OutputOptions()
    check_outputs([name])
    if not options.overwrite:
        refuse_existing(path)
    _write(_only(segmentation, options), path, OUTPUTS[name], options, source or path.name)
    return path


def _write(
    segmentation: Segmentation, path: Path, output: Output, options: OutputOptions, source: str
) -> None:
    job = Job(segmentation, options, _format(output, path), source)
    try:
        data = output.encode(job)
    except OSError as error:
        # Pillow's codecs say so of pictures that are too large for their format.
        raise FailureError(f"cannot write {path}: {error}") from error
    write_whole(path, data)


def _suffix(name: str, options: OutputOptions) -> str:
    return options.suffixes.get(name, OUTPUTS[name].suffix)


def _format(output: Output, path: PurePath) -> str:
    suffix = path.suffix.lower()
    if suffix not in output.formats:
        formats = " or ".join(output.formats)
        raise OptionError(f"{output.name} is written as {formats}, not as {path.name}")
    return suffix


def _only(segmentation: Segmentation, options: OutputOptions) -> Segmentation:
    """Return the segmentation in which all classes but the wanted ones are background."""
    if not options.classes:
        return segmentation
    keep = [class_index(segmentation.labels, wanted) for wanted in options.classes]
    table = np.zeros(max(len(segmentation.labels.classes), 256), segmentation.mask.dtype)
    table[keep] = keep
    return replace(segmentation, mask=look_up(segmentation.mask, table))


def _mask(job: Job) -> bytes:
    return png_of_indices(job.segmentation.mask, job.segmentation.labels.colours)


def _values(job: Job) -> bytes:
    """Write the values that stood for the classes in the masks that the network learnt from."""
    labels, mask = job.segmentation.labels, job.segmentation.mask
    values = labels.values or tuple(range(len(labels.classes)))
    if not 0 <= min(values) <= max(values) <= 0xFFFF:
        raise OptionError(f"a PNG holds values from 0 to 65535, those of the classes are {values}")
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
