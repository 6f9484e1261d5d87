"""Write the masks of all pages of an image as one file, in the formats that readers can write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from segzoo import zoo
from segzoo.plugins import resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.interfaces import ImageInfo
    from segzoo.specs import ReaderSpec


def volume_suffix(name: str) -> str:
    """Return the suffix of a file name if a reader can write masks in that format; else empty."""
    return _writer(name)[0]


def volume_suffixes() -> tuple[str, ...]:
    """Return the suffixes of formats in which readers can write masks, sorted."""
    specs = [spec for _, (spec, _) in zoo.registry("readers").items()]
    return tuple(sorted({suffix for spec in specs if spec.writes for suffix in spec.suffixes}))


def write_volume(file: BinaryIO, masks: NDArray[Any], info: ImageInfo, name: str) -> None:
    """Write the masks of all pages of an image, with the position of the image.

    Args:
        file: file open for writing.
        masks: ``(pages, H, W)`` uint8 or uint16; object numbers may be int32, uncertainty is float32.
        info: metadata of the image's file.
        name: name of the file, whose suffix sets the format.

    Raises:
        MissingExtraError: a library is missing that is not installed with the reader.
    """
    suffix, spec = _writer(name)
    assert spec is not None, f"no reader writes {name}"
    resolve(spec.writes)(file, masks, info, suffix)


def _writer(name: str) -> tuple[str, ReaderSpec | None]:
    found: tuple[str, ReaderSpec | None] = ("", None)
    for _, (spec, _) in zoo.registry("readers").items():
        for suffix in spec.suffixes if spec.writes else ():
            if name.lower().endswith(suffix) and len(suffix) > len(found[0]):
                found = suffix, spec
    return found
