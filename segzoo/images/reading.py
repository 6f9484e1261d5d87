"""Files to arrays."""

from __future__ import annotations

import os
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION

from segzoo import pickles
from segzoo.errors import ImageError, SegzooError, no_address
from segzoo.files import check_zip_sums, regular
from segzoo.images.pixels import as_image, from_pillow, from_tensor
from segzoo.images.sizes import averages, check_pixels, placed, scaled_size
from segzoo.images.tiffs import TIFF_STARTS, count_tiff_pages, read_tiff
from segzoo.images.zarrs import holds_zarr, read_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from segzoo.specs import Resize

_SUFFIXES = ".bmp .gif .jp2 .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp"
#: Suffixes that a folder is searched for; a file named by itself may have any.
SUFFIXES = frozenset(_SUFFIXES.split())
#: Suffixes of arrays: what ``numpy.save`` writes, and a tensor as ``torch.save`` does.
ARRAY_SUFFIXES = frozenset({".npy", ".pt", ".pth"})
#: Files that images and masks are read from.
READABLE = SUFFIXES | ARRAY_SUFFIXES

#: Bytes that say which tensor a file holds, beside its values: about 200.
_MOST_PICKLE = 1 << 20

#: What the tag of photometric interpretation says of red, green and blue.
_RGB = 2


def read(path: str | os.PathLike[str], *, scale: float = 1.0, page: int | None = None) -> NDArray[np.uint8]:
    """Read an image file as ``(H, W, 3)`` or, if it is grey, ``(H, W, 1)``; uint8.

    EXIF rotation is applied, palettes are looked up, transparency is dropped, CMYK becomes RGB, and
    deeper images are scaled to 8 bits as `to_uint8` says. An array in a ``.npy``, ``.pt`` or
    ``.pth`` file or in a folder of Zarr, and a TIFF that only tifffile reads, are taken as `as_image` says.

    Args:
        path: the file.
        scale: what both sides are multiplied by, truncated; a JPEG is decoded at a half, a quarter or
            an eighth where that is enough, and what remains is done bicubically.
        page: which page of several, from 0; ``None`` reads the first, with a warning if there are more.

    Raises:
        ImageError: there is no such file, or it is empty, truncated or no image.
        MissingExtraError: it is a TIFF that needs tifffile, which is not installed.
    """
    path = Path(path)
    if holds_array(path) or is_deep(path):
        with naming(path):
            array = as_image(read_array(path) if holds_array(path) else read_tiff(path, page))
            return array if scale == 1 else from_pillow(_shrunk(_picture(array, path), scale))
    with opened(path, page) as image:
        return from_pillow(image if scale == 1 else _shrunk(image, scale))


def read_reduced(
    path: str | os.PathLike[str], resize: Resize | None
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read an image as `read` does, or smaller where a network sees it smaller anyway.

    A JPEG is decoded at a half, a quarter or an eighth where that is enough for ``resize``, each pixel then
    being the mean of those that it stands for.

    Returns:
        The array, and height and width of the whole image.

    Raises:
        ImageError: as `read`.
    """
    path = Path(path)
    if not averages(resize) or holds_array(path) or is_deep(path):
        pixels = read(path)
        return pixels, (pixels.shape[0], pixels.shape[1])
    with opened(path) as image:
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) < 5
        height, width = (image.height, image.width) if upright else (image.width, image.height)
        place = placed(height, width, resize)[1]
        wanted = (place.width, place.height) if upright else (place.height, place.width)
        image.draft(image.mode, wanted)
        return from_pillow(image), (height, width)


@contextmanager
def opened(path: Path, page: int | None = None) -> Iterator[Image.Image]:
    """Open an image file at a page, and name the file in whatever goes wrong while it is used.

    Args:
        path: the file.
        page: which of several, from 0; ``None`` opens the first, with a warning if there are more.

    Raises:
        ImageError: as `read` says; also if there is no such page.
    """
    with naming(path, page), Image.open(regular(path)) as image:
        if page is not None:
            image.seek(page)
        elif (pages := getattr(image, "n_frames", 1)) > 1:
            warnings.warn(f"{path} holds {pages} pages; only the first is read", stacklevel=5)
        yield image


@contextmanager
def naming(path: Path, page: int | None = None) -> Iterator[None]:
    """Make whatever goes wrong while an image file is read an `ImageError` that names the file.

    Pillow raises SyntaxError for broken PNG chunks and struct.error for broken EXIF, numpy TokenError and
    OverflowError for headers, tifffile and zarr what their codecs raise: there is no list of it all.

    Args:
        path: the file.
        page: which of several is read.

    Raises:
        ImageError: as `read` says.
        MissingExtraError: as it was raised.
    """
    try:
        yield
    except FileNotFoundError as error:
        link = path.is_symlink()
        told = f"{path} is a link to what is not there" if link else f"there is no file {path}"
        raise ImageError(f"{told}{no_address(path)}") from error
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        reason = "the file is empty" if empty else "it holds no image in a format that Pillow knows"
        raise ImageError(f"{path} cannot be read: {reason}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large to decode at once: {error}") from error
    except EOFError as error:
        where = f"has no page {page}, or" if page else "is"
        raise ImageError(f"{path} {where} cut short") from error
    except MemoryError as error:
        raise ImageError(
            f"{path} does not fit in memory: cut it into tiles, or free memory ({error or 'none is left'})"
        ) from error
    except ImageError:
        with naming_file(path):
            raise
    except (SegzooError, Warning):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:  # the system's word, not the reader's
            raise ImageError(f"{path} cannot be read: {_lower(error.strerror)}") from error
        reason = str(error).strip() or type(error).__name__
        raise ImageError(f"{path} is damaged or cut short: {reason}") from error


@contextmanager
def naming_file(image: object) -> Iterator[None]:
    """Name the file, where an image is one, in an `ImageError` about what it holds."""
    try:
        yield
    except ImageError as error:
        if not isinstance(image, str | os.PathLike) or str(image) in str(error):
            raise
        raise ImageError(f"{image}: {error}") from error


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]


def count_pages(path: Path) -> int:
    """Return how many pages an image file has; errors as `read`."""
    if is_deep(path):
        return count_tiff_pages(path)
    with opened(path, 0) as image:
        return getattr(image, "n_frames", 1)


def is_deep(path: Path) -> bool:
    """Whether a file is a TIFF that Pillow does not know, or takes for 8 bits where RGB has more."""
    try:
        with regular(path).open("rb") as file:
            if file.read(4) not in TIFF_STARTS:
                return False
        with Image.open(path) as image:
            tags = getattr(image, "tag_v2", {})
            bits = tags.get(BITSPERSAMPLE, (1,))
            return tags.get(PHOTOMETRIC_INTERPRETATION) == _RGB and max(bits) > 8
    except UnidentifiedImageError:
        return True
    except Exception:
        return False  # reading it will say what is wrong


def _picture(array: NDArray[np.uint8], path: Path) -> Image.Image:
    if array.shape[2] not in (1, 3):
        raise ImageError(f"{path} has {array.shape[2]} channels: only images of 1 or 3 are made smaller")
    return Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)


def holds_array(path: Path) -> bool:
    """Whether `read_array` reads a file, by its suffix, or a folder, by its being Zarr."""
    return path.suffix.lower() in ARRAY_SUFFIXES or holds_zarr(path)


def read_array(path: Path) -> NDArray[Any]:
    """Read a ``.npy`` file, a tensor in a ``.pt`` or ``.pth`` file, or a folder of Zarr.

    Numbers only, never pickled objects.

    Raises:
        ImageError: it cannot be read.
        MissingExtraError: it is Zarr, and zarr is not installed.
    """
    if holds_zarr(path):
        with naming(path):
            return read_zarr(path)
    if path.suffix.lower() == ".npy":
        return np.array(map_array(path))
    with naming(path):
        return check_numbers(_read_tensor(regular(path)), path)


def map_array(path: Path) -> np.memmap[Any, Any]:
    """Return the array of a ``.npy`` file without reading its values, which are all numbers.

    Raises:
        ImageError: it is none, or shorter than its header says.
    """
    with naming(path):
        regular(path)
        try:
            # Mapped, a header that claims more than the file holds is refused, and takes no memory.
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError:
            raise
        except Exception as error:  # tokenize.TokenError and OverflowError come out of headers, too
            if not path.stat().st_size:
                raise ImageError(f"{path} cannot be read: the file is empty") from error
            raise ImageError(
                f"{path} is no array of numbers as numpy.save writes it, or is cut short: {error}"
            ) from error
        if not isinstance(mapped, np.memmap):
            mapped.close()
            raise ImageError(
                f"{path} holds several arrays as numpy.savez writes them, not one: save each alone"
            )
        check_numbers(mapped, path)
    return mapped


def check_numbers(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return an array as it is if its values are real numbers, or true and false.

    Raises:
        ImageError: they are words, dates, records, complex or others.
    """
    if array.dtype.kind not in "biuf":
        raise ImageError(
            f"{path} holds values of type {array.dtype}: a pixel is an integer, a float or a bool"
        )
    return array


def _read_tensor(path: Path) -> NDArray[Any]:
    import torch  # only what torch wrote waits for it

    _check_stored(path)
    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever comes out of a pickle that is damaged
        raise ImageError(f"{path} holds no tensor that can be read without running code") from error
    if not isinstance(tensor, torch.Tensor):
        raise ImageError(f"{path} holds {type(tensor).__name__}, not one tensor (H, W) or (H, W, C)")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise ImageError(
            f"{path} is no tensor with a number for each pixel: it is {tensor.layout}, {tensor.dtype}, on "
            f"{tensor.device}"
        )
    if tensor.numel() * tensor.element_size() > path.stat().st_size:
        # A tensor that repeats one value takes no room in its file: no more than of an image is believed.
        check_pixels(path, *(*tensor.shape, 1, 1)[:2])
    return from_tensor(tensor)


def _check_stored(path: Path) -> None:
    """Refuse a tensor that its file unpacks to more than an image may have; torch.save never packs.

    Raises:
        ImageError: it does.
        ValueError: a checksum in it differs.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if pickles.is_overlong(file):
                raise ImageError(f"{path} holds more than a tensor")
        return
    with zipfile.ZipFile(path) as packed:
        entries = packed.infolist()
    if any(entry.file_size > _MOST_PICKLE for entry in entries if entry.filename.endswith(".pkl")):
        raise ImageError(f"{path} holds more than a tensor")  # its parts would take far more memory
    size = sum(entry.file_size for entry in entries)
    if size > path.stat().st_size:
        check_pixels(path, size, 1)
    check_zip_sums(path)


def _shrunk(image: Image.Image, scale: float) -> Image.Image:
    size = scaled_size(image.width, image.height, scale)
    image.draft(image.mode, size)
    if image.mode == "P":
        # Between palette indices there is nothing.
        image = image.convert("RGB")
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
