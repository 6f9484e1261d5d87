"""The output that a client requests, by ``?output=`` or the ``Accept`` header, and its bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.errors import FailureError, OptionError
from segzoo.labels import class_index
from segzoo.prediction.outputs import OutputOptions, check_outputs, to_json
from segzoo.prediction.outputs.coco import compress_runs, count_runs
from segzoo.prediction.outputs.writing import encode_output, needs, read_format

if TYPE_CHECKING:
    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.specs import Labels

#: The answer that is not an output of `segzoo predict`: classes with run lengths, and facts about the image.
JSON = "json"
#: The output for each media type; the first one that a client accepts is used.
BY_TYPE = {
    "image/png": "mask:png",
    "application/json": JSON,
    "application/geo+json": "geojson",
    "image/jpeg": "overlay:jpg",
    "image/webp": "overlay:webp",
    "image/tiff": "mask:tif",
    "text/csv": "areas",
}
_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".geojson": "application/geo+json",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".json": "application/json",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".xml": "application/xml",
}
_BINARY = "application/octet-stream"


class NotAcceptableError(FailureError):
    """The client accepts none of the available media types."""


@dataclass(frozen=True)
class Answer:
    """The body of an answer, and its media type."""

    body: bytes
    media_type: str


@dataclass(frozen=True)
class RequestedOutput:
    """The output that a client requests.

    Attributes:
        output: name of a registered output, or ``json``.
        options: options of the output.
    """

    output: str
    options: OutputOptions = field(default_factory=OutputOptions)

    @property
    def probabilities(self) -> bool:
        """Whether the probabilities of classes are needed."""
        return self.output != JSON and needs([self.output], "probabilities") > 0

    def answer(self, found: Segmentation, info: ImageInfo | None, fields: dict[str, Any]) -> Answer:
        """Return the answer.

        Args:
            found: segmentation of the image.
            info: metadata of the image's file.
            fields: further fields for JSON, such as the name of the model.
        """
        if self.output == JSON:
            return Answer(to_json({**fields, **as_json(found, info)}), _TYPES[".json"])
        body, suffix = encode_output(found, self.output, self.options, source="image")
        return Answer(body, _TYPES.get(suffix, _BINARY))


def requested_output(
    output: str | None, accept: str, labels: Labels, options: OutputOptions
) -> RequestedOutput:
    """Return the output that a client requests.

    Args:
        output: value of ``?output=``, such as ``overlay`` or ``mask:tif``; ``None`` if not given.
        accept: the ``Accept`` header, used if ``output`` is not given.
        labels: labels of the model.
        options: options of the output; ``output`` sets its format.

    Raises:
        UnknownNameError: there is no such output.
        OptionError: an option is wrong.
        NotAcceptableError: none of the accepted media types is available.
    """
    for name in options.classes:
        class_index(labels, name)
    word = output or _accepted(accept, JSON if labels.overlapping else "mask")
    if word == JSON:
        return RequestedOutput(JSON)
    name, suffix = read_format(word)
    if name not in zoo.registry("outputs") and ":" not in name:
        known = ", ".join((JSON, *zoo.registry("outputs").names()))
        raise OptionError(f"there is no output {name[:40]!r}; there are {known}")
    options = replace(options, suffixes={name: suffix} if suffix else {})
    check_outputs([name], options)
    return RequestedOutput(name, options)


def _accepted(header: str, default: str) -> str:
    """Return the output for the header ``Accept`` (RFC 9110, 12.5.1); the default if any type is accepted."""
    ranges: list[tuple[float, str]] = []
    for part in header.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            ranges.append((float(quality), name))
        except ValueError:
            continue
    if not header.strip():
        return default
    for quality, name in sorted(ranges, key=lambda one: -one[0]):
        if quality <= 0:
            continue
        if name == "*/*":
            return default
        if name in BY_TYPE:
            return BY_TYPE[name]
        if name == "image/*":
            return default if default != JSON else "overlay"
        if name in ("application/*", "text/*"):
            return JSON if name == "application/*" else "areas"
    raise NotAcceptableError(
        f"none of {header[:100]!r} is available: accept {', '.join(BY_TYPE)}, or pass ?output=NAME"
    )


def class_facts(labels: Labels) -> list[dict[str, Any]]:
    """Return what clients get to know about each class, by its index."""
    return [
        {
            "index": index,
            "name": name,
            "color": "#{:02x}{:02x}{:02x}".format(*labels.colours[index]),
            "background": index not in labels.foreground,
        }
        for index, name in enumerate(labels.classes)
    ]


def as_json(found: Segmentation, info: ImageInfo | None) -> dict[str, Any]:
    """Return the result as JSON data: the pixels of each class as COCO's compressed run lengths.

    ``size`` is (height, width). The background and classes that are not in the image have no ``rle``.

    Args:
        found: segmentation of the image.
        info: metadata of the image's file.
    """
    height, width = found.size
    areas = list(found.areas.values())
    runs = _runs(found, [index for index in found.labels.foreground if areas[index]])
    return {
        "width": width,
        "height": height,
        "image": {} if info is None else _described(info),
        "overlapping": found.labels.overlapping,
        "classes": [
            facts
            | {"pixels": areas[index], "share": round(areas[index] / (height * width), 6)}
            | ({"rle": {"size": [height, width], "counts": runs[index]}} if index in runs else {})
            for index, facts in enumerate(class_facts(found.labels))
        ],
    }


def _runs(found: Segmentation, classes: list[int]) -> dict[int, str]:
    """Return the run lengths of the classes in the image, by index."""
    if found.labels.overlapping:
        counts = [count_runs(found.mask[index])[0] for index in classes]
    else:
        numbers = np.zeros(len(found.labels.classes), np.uint16)
        numbers[classes] = np.arange(1, len(classes) + 1)
        counts = count_runs(numbers[found.mask])
    return dict(zip(classes, compress_runs(counts), strict=True))


def _described(info: ImageInfo) -> dict[str, Any]:
    told: dict[str, Any] = {"format": info.format, "dtype": info.dtype, "bands": list(info.bands)}
    return told | ({"pages": info.pages} if info.pages > 1 else {})


def answers() -> list[str]:
    """Return every value that ``?output=`` accepts, with the formats that may follow a colon."""
    found = [JSON]
    for name, (spec, _) in zoo.registry("outputs").items():
        found += [name, *(f"{name}:{suffix.removeprefix('.')}" for suffix in spec.formats)]
    return found
