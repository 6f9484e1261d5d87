"""Zarr arrays, and OME-Zarr images at their finest level; decoded by zarr, an extra.

Formats: Zarr 2 and 3; OME-NGFF 0.1 to 0.5 (``multiscales``).
"""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError, missing_extra
from segzoo.files import regular
from segzoo.images.arrays import FEW, BlockRows, native
from segzoo.images.bands import names_of_bands
from segzoo.images.sizes import check_pixels
from segzoo.interfaces import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_SIGNS = ("zarr.json", ".zarray", ".zgroup")
#: Supported codecs. Others, such as pickle, could run code from a file.
_CODECS = (
    "adler32 astype bitround blosc bytes bz2 crc32 crc32c delta fixedscaleoffset fletcher32 gzip lz4 lzma "
    "packbits quantize sharding_indexed shuffle transpose zlib zstd"
)
#: A chunk with more values than this may have at most four times the values of the image.
_LARGEST_CHUNK = 2**24
#: Names of page axes, and the units of pixel sizes.
_CALLED = {"t": "time"}
_UNITS = {"micrometer": "um", "millimeter": "mm", "meter": "m"}


def holds_zarr(path: Path) -> bool:
    """Whether a path is a folder that contains a Zarr array or group."""
    try:
        return path.is_dir() and any((path / sign).is_file() for sign in _SIGNS)
    except OSError:  # no permission, or the name is too long: opening it will report the problem
        return False


def load_zarr() -> Any:
    """Return the module ``zarr``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("zarr")
    except ImportError as error:
        raise missing_extra("Zarr needs zarr", "zarr") from error


@contextmanager
def open_zarr(path: Path) -> Iterator[ZarrImage]:
    """Open a Zarr folder; see `segzoo.interfaces.ImageReader`."""
    yield ZarrImage(path)


class ZarrImage:
    """An array of a Zarr folder as an open image.

    Args:
        path: folder of an array, of a group with one array, or of an OME-Zarr image, whose finest level is
            used.

    Channels are bands; time, depth and all other axes longer than 1 are pages.

    Attributes:
        info: metadata of the image.

    Raises:
        ImageError: it is damaged, contains no image, or has axes that an image does not have.
        MissingExtraError: zarr is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        zarr = load_zarr()
        try:
            _check_files(path)
            self._array, names, told = _image(zarr.open(store=str(path), mode="r"), path)
            size, unit = _pixel_size(told)
            bands = _channel_names(told)
            unknown = sorted(_packings(self._array) - set(_CODECS.split()))
            chunks = self._array.chunks
        except ImageError:
            raise
        # zarr, json and the codecs each raise their own errors.
        except Exception as error:
            raise ImageError(f"{path} cannot be read as Zarr: {error}") from error
        if unknown:
            raise ImageError(f"{path} is compressed with {', '.join(unknown)}, which is not supported")
        dtype = np.dtype(self._array.dtype)
        if dtype.kind not in "buif":
            raise ImageError(f"{path} holds {dtype}, not numbers")
        self._axes = _axes(self._array.shape, names, path)
        sizes = dict(zip(self._axes, self._array.shape, strict=True))
        if math.prod(chunks) > _LARGEST_CHUNK and math.prod(chunks) > 4 * math.prod(self._array.shape):
            raise ImageError(
                f"{path} has chunks of {tuple(chunks)}, far larger than the image: it is damaged"
            )
        self._tall = int(chunks[self._axes.index("y")])
        self._paged = {axis: size for axis, size in sizes.items() if axis not in "yxc"}
        count = sizes.get("c", 1)
        self.info = ImageInfo(
            height=sizes["y"],
            width=sizes["x"],
            dtype=dtype.newbyteorder("=").name,
            bands=bands if len(bands) == count else names_of_bands(count),
            format="Zarr",
            pages=math.prod(self._paged.values()),
            page_axis=" and ".join(_CALLED.get(axis, axis) for axis, size in self._paged.items() if size > 1),
            pixel_size=size,
            unit=unit,
        )
        self._blocks = BlockRows(self.info.height, self._tall)

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a page.

        Raises:
            ImageError: a chunk is damaged, or the image claims too many pixels to be decoded at once.
        """
        del smallest
        check_pixels(self._path, self.info.height, self.info.width)
        return self._decoded(page, 0, self.info.height)

    def resident(self, page: int) -> int:
        """Return the bytes of a row of chunks: cached, while assembled, and while decoded."""
        del page
        values = min(self._tall, self.info.height) * self.info.width * len(self.info.bands)
        return 3 * values * self._array.dtype.itemsize

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return some rows; one row of chunks is decoded at a time, and cached while its rows are read.

        Raises:
            ImageError: a chunk is damaged.
        """
        return self._blocks.rows(top, bottom, partial(self._decoded, page), page)

    def _decoded(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        numbers = np.unravel_index(page, list(self._paged.values())) if self._paged else ()
        where: dict[str, Any] = {axis: int(n) for axis, n in zip(self._paged, numbers, strict=True)}
        where |= {"y": slice(top, bottom), "x": slice(None), "c": slice(None)}
        try:
            found = np.asarray(self._array[tuple(where[axis] for axis in self._axes)])
        except Exception as error:  # each codec raises its own errors
            raise ImageError(f"{self._path} is damaged near row {top}: {error}") from error
        kept = [axis for axis in self._axes if axis in "yxc"]
        found = found if "c" in kept else found[..., None]
        return native(found.transpose([[*kept, "c"].index(axis) for axis in "yxc"]))


def _check_files(folder: Path) -> None:
    """Raise `ImageError` if a file of a Zarr folder is special, such as a pipe: its codec would hang."""
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                regular(Path(where, name))
            except OSError as error:
                raise ImageError(f"{folder} is damaged: {name} in it: {error.strerror}") from error


def _image(found: Any, path: Path) -> tuple[Any, Sequence[str], dict[str, Any]]:
    """Return the array of an image, the names of its axes, if it has any, and its OME metadata."""
    if hasattr(found, "shape"):
        return found, getattr(found.metadata, "dimension_names", None) or (), {}
    told = _ome(found)
    if scales := told.get("multiscales"):
        array, axes = found[scales[0]["datasets"][0]["path"]], scales[0].get("axes")
        names = [axis if isinstance(axis, str) else axis["name"] for axis in axes or "tczyx"]
        return array, names, told
    images = [name for name, group in found.groups() if "multiscales" in _ome(group)]
    if len(images) == 1:  # bioformats2raw writes each image of a file into its own group
        return _image(found[images[0]], path)
    arrays = dict(found.arrays())
    if len(arrays) != 1:
        inside = ", ".join(sorted(arrays) or sorted(images)) or "none"
        what = f"{len(images)} images" if images else f"{len(arrays)} arrays"
        raise ImageError(
            f"{path} is a group without OME multiscales, and with {what} ({inside}): name the folder of one, "
            f"such as {path / 'NAME'}"
        )
    return _image(next(iter(arrays.values())), path)


def _axes(shape: tuple[int, ...], names: Sequence[str], path: Path) -> str:
    """Return a letter for each axis: y, x, optionally c, and others, which number pages."""
    axes = "".join(str(name).lower()[:1] for name in names)
    if not names:
        front, back = (len(shape) == 3 and shape[axis] <= FEW for axis in (0, 2))
        axes = {2: "yx", 3: "cyx" if front and not back else "yxc"}.get(len(shape), "")
        if len(shape) == 3 and front == back:
            raise ImageError(
                f"{path} has the shape {shape} and no axis names: it is unclear which axis has the channels"
            )
    if len(axes) != len(shape) or len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes):
        told = f", which are called {', '.join(map(str, names))}" if names else ""
        raise ImageError(
            f"{path} has axes of {shape}{told}: an image has y, x and optionally channels; all other axes "
            "(time, depth) are pages and need names"
        )
    return axes


def _ome(group: Any) -> dict[str, Any]:
    """Return a group's OME metadata, which are stored under the key ``ome`` since version 0.5."""
    told = dict(group.attrs)
    return told.get("ome", told)


def _channel_names(told: dict[str, Any]) -> tuple[str, ...]:
    """Return OME's labels of channels, if there are any."""
    channels = told.get("omero", {}).get("channels", ())
    return tuple(str(one.get("label", "")) or f"band {n}" for n, one in enumerate(channels, 1))


def _pixel_size(told: dict[str, Any]) -> tuple[tuple[float, float] | None, str]:
    """Return height and width of a pixel of the finest level, and their unit, if OME declares them."""
    try:
        scales = told["multiscales"][0]
        names = [axis["name"] for axis in scales["axes"]]
        row, column = names.index("y"), names.index("x")
        steps = scales["datasets"][0]["coordinateTransformations"]
        sizes = next(step["scale"] for step in steps if "scale" in step)
        unit, other = (_UNITS[scales["axes"][axis]["unit"]] for axis in (row, column))
        size = float(sizes[row]), float(sizes[column])
    except (KeyError, IndexError, TypeError, ValueError, StopIteration):
        return None, ""
    return (size, unit) if unit == other and min(size) > 0 else (None, "")


def _packings(array: Any) -> set[str]:
    """Return the names of all codecs of an array."""
    told = dict(array.metadata.to_dict())
    told.pop("attributes", None)  # which may contain anything
    return set(_codecs(told))


def _codecs(told: Any) -> Iterator[str]:
    """Yield the names of all codecs in metadata."""
    if isinstance(told, dict):
        for key, value in told.items():
            if key in ("codecs", "index_codecs", "filters", "compressor"):
                for codec in value if isinstance(value, list | tuple) else [value]:
                    yield from _named(codec)
            else:
                yield from _codecs(value)
    elif isinstance(told, list | tuple):
        for value in told:
            yield from _codecs(value)


def _named(codec: Any) -> Iterator[str]:
    if codec is None:
        return
    told = codec if isinstance(codec, dict) else codec.get_config()
    yield str(told.get("id", told.get("name"))).removeprefix("numcodecs.")
    yield from _codecs(told.get("configuration", {}))
