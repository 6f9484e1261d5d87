"""Turn errors while reading an image file into errors that name the file."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from segzoo.errors import ImageError, MissingExtraError, SegzooError, no_address
from segzoo.images.sizes import ANY_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: Plug-ins, with extras, by the suffixes that they read.
_ELSEWHERE = {
    **dict.fromkeys((".nii", ".nii.gz"), "segzoo-science[nifti]"),
    **dict.fromkeys((".dcm", ".dicom"), "segzoo-science[dicom]"),
}


@contextmanager
def naming(path: Path, page: int | None = None) -> Iterator[None]:
    """Turn any error while an image file is read into an `ImageError` that names the file.

    Pillow raises SyntaxError for broken PNG chunks and struct.error for broken EXIF, numpy raises TokenError
    and OverflowError for headers, and tifffile and zarr raise the errors of their codecs: there is no
    complete list.

    Args:
        path: image file.
        page: page that is read.

    Raises:
        ImageError: the file cannot be read; see `read`.
        MissingExtraError: a package for reading the file is not installed.
    """
    try:
        yield
    except FileNotFoundError as error:
        link = path.is_symlink()
        told = f"{path} is a link to a missing file" if link else f"there is no file {path}"
        raise ImageError(f"{told}{no_address(path)}") from error
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        reason = (
            "the file is empty"
            if empty
            else f"it is not an image in a format that an installed reader supports{reader_hint(path)}"
        )
        raise ImageError(f"{path} cannot be read: {reason}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large to decode at once: {error}; {ANY_SIZE}") from error
    except EOFError as error:
        where = f"has no page {page}, or is" if page else "is"
        raise ImageError(f"{path} {where} cut short") from error
    except MemoryError as error:
        raise ImageError(
            f"{path} does not fit in memory: cut it into tiles, or free memory ({error or 'none is left'})"
        ) from error
    except ImageError:
        with naming_file(path):
            raise
    except MissingExtraError as error:
        if str(path) in str(error):
            raise
        raise MissingExtraError(f"{path}: {error}") from error
    except (SegzooError, Warning):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:  # a message of the system, not of the reader
            raise ImageError(f"{path} cannot be read: {_lower(error.strerror)}") from error
        reason = str(error).strip() or type(error).__name__
        raise ImageError(f"{path} is damaged or cut short: {reason}") from error


@contextmanager
def naming_file(image: object) -> Iterator[None]:
    """Add the name of an image's file, if it has one, to an `ImageError` about its content."""
    try:
        yield
    except ImageError as error:
        if not isinstance(image, str | os.PathLike) or str(image) in str(error):
            raise
        raise ImageError(f"{image}: {error}") from error


def reader_hint(path: Path) -> str:
    """Return which plug-in reads files of a suffix that segzoo's own readers do not support."""
    plugin = next((one for suffix, one in _ELSEWHERE.items() if path.name.lower().endswith(suffix)), "")
    return f"; {plugin.partition('[')[0]} reads such files: pip install '{plugin}'" if plugin else ""


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
