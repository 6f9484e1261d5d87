"""Segmentations written as files, by the names of what is wanted.

Everything is written for the upright image at its own size: EXIF rotation is applied when an
image is read, and files written here carry none.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from segzoo.errors import FailureError, OptionError, did_you_mean
from segzoo.files import refuse_taken, whole_files, writing
from segzoo.labels import class_index
from segzoo.options import shown
from segzoo.prediction.rendering.kinds import OUTPUTS, Job, Output, OutputOptions
from segzoo.prediction.rendering.painting import look_up

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from segzoo.files import Keeping
    from segzoo.prediction.segmentation import Segmentation


def check_outputs(names: Sequence[str], options: OutputOptions | None = None) -> None:
    """Raise unless outputs can be written together; better said before the first image than after.

    Raises:
        OptionError: there is no such output, a suffix names no format of its output, or two
            outputs would be one file.
    """
    options = options or OutputOptions()
    for name in (*names, *options.suffixes):
        if name not in OUTPUTS:
            close, known = did_you_mean(name[:99], OUTPUTS), ", ".join(OUTPUTS)
            raise OptionError(f"there is no output {shown(name)}{close} (all: {known})")
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
    keeping: Keeping | None = None,
) -> tuple[Path, ...]:
    """Write a segmentation as files beside each other, all of them whole or none.

    Args:
        segmentation: what was found.
        stem: folder and name, to which each output adds its suffix: ``out/cat`` gives ``out/cat_mask.png``.
        names: of `OUTPUTS`.
        options: how they look.
        source: the name of the image, told to programs that read COCO; the stem's unless told.
        keeping: what an earlier run wrote, and who is told before the files get their names.

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
    refuse_taken(paths, overwrite=options.overwrite, owns=keeping and keeping.owns)
    wanted = _only(segmentation, options)
    with whole_files(paths, overwrite=options.overwrite, keeping=keeping) as parts:
        for name, path, part in zip(names, paths, parts, strict=True):
            _write(wanted, path, part, OUTPUTS[name], options, source or stem.name)
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
    refuse_taken([path], overwrite=options.overwrite)
    with whole_files([path], overwrite=options.overwrite) as (part,):
        _write(_only(segmentation, options), path, part, OUTPUTS[name], options, source or path.name)
    return path


def _write(
    segmentation: Segmentation, path: Path, part: Path, output: Output, options: OutputOptions, source: str
) -> None:
    job = Job(segmentation, options, _format(output, path), source)
    try:
        data = output.encode(job)
    except OSError as error:
        # Pillow's codecs say so of pictures that are too large for their format.
        raise FailureError(f"cannot write {path}: {error}") from error
    with writing(path):
        part.write_bytes(data)


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
