"""Zarr arrays, and OME-Zarr images by their finest level; decoded by zarr, an extra.

Formats: Zarr 2 and 3; OME-NGFF 0.1 to 0.5 (``multiscales``).
"""

from __future__ import annotations

import math
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError, missing_extra
from segzoo.files import regular
from segzoo.images.sizes import check_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

#: Suffix of folders that are taken for Zarr.
ZARR_SUFFIX = ".zarr"
_SIGNS = ("zarr.json", ".zarray", ".zgroup")
#: What chunks may be packed with. Others, such as pickle, could run what a file says.
_CODECS = (
    "adler32 astype bitround blosc bytes bz2 crc32 crc32c delta fixedscaleoffset fletcher32 gzip lz4 lzma "
    "packbits quantize sharding_indexed shuffle transpose zlib zstd"
)
#: Values of a chunk that may be more than the whole image has.
_LARGEST_CHUNK = 2**24
#: Most channels that an axis without a name is taken for.
_CHANNELS = 4


def holds_zarr(path: Path) -> bool:
    """Whether a path is a folder that holds a Zarr array or group."""
    try:
        return path.is_dir() and any((path / sign).is_file() for sign in _SIGNS)
    except OSError:  # it may not be looked at, or its name is too long: opening it will say so
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


class ZarrImage:
    """An array of a Zarr folder as an image ``(height, width, channels)`` of the array's own type.

    Args:
        path: the folder: of an array, of a group that holds one, or of an OME-Zarr image, whose finest level
            is taken.

    Attributes:
        shape: height, width and channels.
        dtype: of the values.
        tall: rows of a chunk, which are decoded together.

    Raises:
        ImageError: it is damaged, holds no image, or has axes that are none of an image's.
        MissingExtraError: zarr is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        zarr = load_zarr()
        try:
            _check_files(path)
            self._array, names = _image(zarr.open(store=str(path), mode="r"), path)
            unknown = sorted(_packings(self._array) - set(_CODECS.split()))
            chunks = self._array.chunks
        except ImageError:
            raise
        # What is wrong with a folder's metadata is told by zarr, json and the codecs, each in its way.
        except Exception as error:
            raise ImageError(f"{path} cannot be read as Zarr: {error}") from error
        if unknown:
            raise ImageError(f"{path} is packed with {', '.join(unknown)}, which is not read")
        self.dtype = np.dtype(self._array.dtype)
        if self.dtype.kind not in "buif":
            raise ImageError(f"{path} holds {self.dtype}, not numbers")
        self._axes = _axes(self._array.shape, names, path)
        sizes = dict(zip(self._axes, self._array.shape, strict=True))
        self.shape = sizes["y"], sizes["x"], sizes.get("c", 1)
        self.tall = int(chunks[self._axes.index("y")])
        if math.prod(chunks) > _LARGEST_CHUNK and math.prod(chunks) > 4 * math.prod(self._array.shape):
            raise ImageError(
                f"{path} has chunks of {tuple(chunks)}, far larger than the image: it is damaged"
            )

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``, ``(bottom - top, width, channels)``.

        Raises:
            ImageError: a chunk is damaged.
        """
        where = tuple(
            {"y": slice(top, bottom), "x": slice(None), "c": slice(None)}.get(a, 0) for a in self._axes
        )
        try:
            found = np.asarray(self._array[where])
        except Exception as error:  # whatever codec it is, it raises its own
            raise ImageError(f"{self._path} is damaged near row {top}: {error}") from error
        kept = [axis for axis in self._axes if axis in "yxc"]
        found = found if "c" in kept else found[..., None]
        return found.transpose([[*kept, "c"].index(axis) for axis in "yxc"])


def _check_files(folder: Path) -> None:
    """Raise `ImageError` if one of the files of a Zarr folder is none: its codec would wait for it."""
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                regular(Path(where, name))
            except OSError as error:
                raise ImageError(f"{folder} is damaged: {name} in it: {error.strerror}") from error


def read_zarr(path: Path) -> NDArray[Any]:
    """Return a Zarr image as ``(H, W, C)`` of its own type.

    Raises:
        ImageError: as `ZarrImage`; or it claims too many pixels to be decoded at once.
        MissingExtraError: zarr is not installed.
    """
    image = ZarrImage(path)
    check_pixels(path, image.shape[0], image.shape[1])
    return image.rows(0, image.shape[0])


def _image(found: Any, path: Path) -> tuple[Any, Sequence[str]]:
    """Return the array of an image, and the names of its axes, if it has any."""
    if hasattr(found, "shape"):
        return found, getattr(found.metadata, "dimension_names", None) or ()
    told = dict(found.attrs)
    scales = told.get("ome", told).get("multiscales")
    if scales:
        array, axes = found[scales[0]["datasets"][0]["path"]], scales[0].get("axes")
        names = [axis if isinstance(axis, str) else axis["name"] for axis in axes or "tczyx"]
        return array, names
    arrays = dict(found.arrays())
    if len(arrays) != 1:
        inside = ", ".join(sorted(arrays)) or "none"
        raise ImageError(
            f"{path} is a group without OME multiscales, and with {len(arrays)} arrays ({inside}): name the "
            f"folder of one, such as {path / 'NAME'}"
        )
    return _image(next(iter(arrays.values())), path)


def _axes(shape: tuple[int, ...], names: Sequence[str], path: Path) -> str:
    """Return a letter for each axis: y, x, perhaps c, and others whose length is 1."""
    axes = "".join(str(name).lower()[:1] for name in names)
    if not names:
        front, back = (len(shape) == 3 and shape[axis] <= _CHANNELS for axis in (0, 2))
        axes = {2: "yx", 3: "cyx" if front and not back else "yxc"}.get(len(shape), "")
        if len(shape) == 3 and front == back:
            raise ImageError(
                f"{path} has the shape {shape} and no names of axes: which is that of channels cannot be told"
            )
    others = [axis for axis, size in zip(axes, shape, strict=False) if axis not in "yxc" and size != 1]
    if len(axes) != len(shape) or len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes) or others:
        told = f", which are called {', '.join(map(str, names))}" if names else ""
        raise ImageError(
            f"{path} has axes of {shape}{told}: an image has y, x and perhaps channels, and all else (time, "
            "depth) must be of length 1"
        )
    return axes


def _packings(array: Any) -> set[str]:
    """Return the names of all codecs of an array."""
    told = dict(array.metadata.to_dict())
    told.pop("attributes", None)  # where anybody may write anything
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
