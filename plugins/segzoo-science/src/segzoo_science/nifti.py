"""NIfTI volumes by slices, and masks as volumes in the same place; with nibabel.

Format: NIfTI-1.1 and NIfTI-2 (nifti.nimh.nih.gov). A file may store its axes in any order and direction; its
affine says where they point in the body. Slices have the orientation in which radiologists view them, and in
which DICOM stores them, regardless of the order in the file:

| slices | pages go | the top row is | the left column is |
|---|---|---|---|
| axial | from feet to head | the front | the patient's right |
| coronal | from back to front | the head | the patient's right |
| sagittal | from left to right | the head | the front |

A mask that is written goes back the same way, so that it has the shape, the order of axes and the affine of
the file that was read.
"""

from __future__ import annotations

import gzip
import io
import math
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from segzoo.errors import ImageError, MissingExtraError, OptionError
from segzoo.interfaces import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

Axis = Literal["axial", "coronal", "sagittal"]
#: Axes of the body, as numbers of right, front and head, that pages, rows and columns run along.
_PLANES: dict[str, tuple[int, int, int]] = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
_UNITS = {"mm": "mm", "unknown": "mm", "micron": "um", "meter": "m"}
#: Bytes of a compressed volume that is kept decoded, since each slice takes all before it to be unpacked.
_MOST_KEPT = 2**29


def load_nibabel() -> Any:
    """Return the module ``nibabel``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("nibabel")
    except ImportError as error:
        raise MissingExtraError("NIfTI needs nibabel: pip install 'segzoo-science[nifti]'") from error


@dataclass(frozen=True)
class Layout:
    """How slices lie in the array of a file.

    Attributes:
        shape: shape of the array, three axes.
        axes: axes of the array that pages, rows and columns run along.
        steps: for each of them, 1 if it runs in the direction of the array, else -1.
    """

    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    steps: tuple[int, int, int]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of pages, rows and columns."""
        pages, rows, columns = (self.shape[axis] for axis in self.axes)
        return pages, rows, columns

    def slices(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view ``(pages, rows, columns, ...)`` of the array."""
        rest = range(3, array.ndim)
        pages, rows, columns = (slice(None, None, step) for step in self.steps)
        return np.transpose(array, (*self.axes, *rest))[pages, rows, columns]

    def affine(self, stored: NDArray[np.float64]) -> list[list[float]]:
        """Return where (column, row, page) lie, of where indices of the array do."""
        indices = np.zeros((4, 4))
        indices[3, 3] = 1
        for place, (axis, step) in enumerate(zip(self.axes, self.steps, strict=True)):
            indices[axis, 2 - place] = step
            indices[axis, 3] = 0 if step > 0 else self.shape[axis] - 1
        return (stored @ indices).tolist()


def find_layout(shape: tuple[int, int, int], affine: NDArray[np.float64], axis: str) -> Layout:
    """Return how slices lie in an array.

    Args:
        shape: shape of the array.
        affine: affine matrix that maps its indices to the directions right, front and head.
        axis: ``axial``, ``coronal`` or ``sagittal``; empty for axial, or across the one axis that has a
            single voxel.
    """
    nibabel = load_nibabel()
    turned = nibabel.io_orientation(affine)
    if np.isnan(turned).any():  # an affine without a third direction, as of single slices
        turned = np.array([[0, 1], [1, 1], [2, 1]])
    stored = {int(body): (index, int(step)) for index, (body, step) in enumerate(turned)}
    flat = [name for name, (pages, _, _) in _PLANES.items() if shape[stored[pages][0]] == 1]
    plane = _PLANES[axis or (flat[0] if len(flat) == 1 else "axial")]
    # Pages go towards right, front or head; rows and columns the other way.
    steps = [stored[body][1] * sign for body, sign in zip(plane, (1, -1, -1), strict=True)]
    axes = [stored[body][0] for body in plane]
    return Layout(shape, (axes[0], axes[1], axes[2]), (steps[0], steps[1], steps[2]))


@contextmanager
def open_nifti(
    path: Path, *, axis: str = "", fourth: Literal["", "bands", "pages"] = ""
) -> Iterator[NiftiImage]:
    """Open a NIfTI volume by slices.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.
        axis: ``axial``, ``coronal`` or ``sagittal``; empty for axial, or the plane of a volume that is one
            slice thick.
        fourth: what a fourth axis holds: ``bands``, such as the sequences of an MR examination, or ``pages``,
            such as points in time, whose slices follow each other. Empty refuses such volumes.

    Raises:
        ImageError: the file is no NIfTI, is damaged, or has axes that nothing was said about.
        MissingExtraError: nibabel is not installed.
        OptionError: an option has another value.
    """
    if axis not in ("", *_PLANES):
        raise OptionError(f"axis must be axial, coronal or sagittal, got {axis!r}")
    if fourth not in ("", "bands", "pages"):
        raise OptionError(f"fourth must be bands or pages, got {fourth!r}")
    status = path.stat()
    yield _opened(path, (status.st_mtime_ns, status.st_size), axis, fourth)


@lru_cache(maxsize=2)
def _opened(path: Path, _: tuple[int, int], axis: str, fourth: str) -> NiftiImage:
    # Kept for the next page: each is asked for by itself, and a compressed file gives no slice alone.
    return NiftiImage(path, axis, fourth)


class NiftiImage:
    """A volume whose pages are slices; `open_nifti` opens it, and says what the arguments are."""

    def __init__(self, path: Path, axis: str, fourth: str) -> None:
        nibabel = load_nibabel()
        try:
            self._volume: Any = nibabel.load(path)
        except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
            raise ImageError(f"{path} is no NIfTI file, or is damaged: {error}") from error
        header = self._volume.header
        dtype = np.dtype(header.get_data_dtype())
        if dtype.kind not in "iuf":
            raise ImageError(
                f"{path} holds values of type {'RGB' if dtype.fields else dtype}: volumes of one number a "
                "voxel are read. Save each colour as a volume"
            )
        shape = tuple(int(size) for size in self._volume.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if not shape or 0 in shape:
            raise ImageError(f"{path} holds no voxel: its shape is {shape}")
        volume = (*shape[:3], 1, 1)[:3]
        more = math.prod(shape[3:])
        if more > 1 and (len(shape) > 4 or not fourth):
            raise ImageError(_too_many_axes(path, shape, header))
        affine = np.asarray(self._volume.affine, np.float64)
        self._layout = find_layout((volume[0], volume[1], volume[2]), affine, axis)
        self._bands = more if fourth == "bands" else 1
        self._times = more if fourth == "pages" else 1
        # nibabel takes them out of the header that it shows.
        proxy = self._volume.dataobj
        self._slope, self._intercept = float(proxy.slope), float(proxy.inter)
        self._scaled = (self._slope, self._intercept) != (1.0, 0.0)
        size = math.prod(shape) * dtype.itemsize
        self._packed = path.name.lower().endswith(".gz") and size <= _MOST_KEPT
        self._kept: NDArray[Any] | None = None
        self.info = self._describe(dtype, header, affine, shape)

    def _describe(
        self, dtype: np.dtype[Any], header: Any, affine: NDArray[np.float64], shape: tuple[int, ...]
    ) -> ImageInfo:
        pages, height, width = self._layout.sizes
        kind = np.dtype(np.float32) if self._scaled else dtype.newbyteorder("=")
        zooms = [abs(float(zoom)) for zoom in header.get_zooms()[:3]] + [0.0, 0.0]
        size = zooms[self._layout.axes[1]], zooms[self._layout.axes[2]]
        low, high = float(header["cal_min"]), float(header["cal_max"])
        names = tuple(f"band {band + 1}" for band in range(self._bands))
        return ImageInfo(
            height=height,
            width=width,
            dtype=kind.name,
            bands=("grey",) if self._bands == 1 else names,
            format="NIfTI",
            pages=pages * self._times,
            page_axis="z" if self._times == 1 else "time and z",
            pixel_size=size if min(size) > 0 else None,
            unit=_UNITS.get(header.get_xyzt_units()[0], "mm"),
            window=(low, high) if low < high else None,
            mask_suffix=".nii.gz" if self._times == 1 else "",
            extra={
                "affine": self._layout.affine(affine),
                "nifti": {
                    "shape": list(self._layout.shape),
                    "dimensions": min(len(shape), 3),
                    "axes": list(self._layout.axes),
                    "steps": list(self._layout.steps),
                    "affine": affine.tolist(),
                    "sform": int(header["sform_code"]),
                    "qform": int(header["qform_code"]),
                    "unit": header.get_xyzt_units()[0],
                },
            },
        )

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a slice ``(H, W, C)``, its values as the header scales them."""
        pages, (axis, *_), (step, *_) = self._layout.sizes[0], self._layout.axes, self._layout.steps
        time, number = divmod(page, pages)
        number = number if step > 0 else pages - 1 - number
        proxy = self._volume.dataobj
        where = [slice(None)] * len(proxy.shape)
        if axis < len(where):
            where[axis] = slice(number, number + 1)
        if self._times > 1:
            where[3] = slice(time, time + 1)
        kept = self._unpacked()
        part = proxy[tuple(where)] if kept is None else kept[tuple(where)]
        if kept is not None and self._scaled:
            part = part * self._slope + self._intercept
        shape = list(self._layout.shape)
        shape[axis] = 1
        found = self._layout.slices(part.reshape(*shape, self._bands))[0]
        return np.ascontiguousarray(found, self.info.dtype)

    def _unpacked(self) -> NDArray[Any] | None:
        """Return all stored values of a small compressed file; ``None`` if slices are read one by one."""
        if not self._packed:
            return None
        if self._kept is None:
            self._kept = np.asanyarray(self._volume.dataobj.get_unscaled())
        return self._kept


def _too_many_axes(path: Path, shape: tuple[int, ...], header: Any) -> str:
    if len(shape) > 4:
        return f"{path} has {len(shape)} axes {shape}: volumes of three, or four, are read"
    timed = header.get_xyzt_units()[1] in ("sec", "msec", "usec")
    guess = "points in time, by what its header says" if timed else "points in time, or several measurements"
    return (
        f"{path} has four axes {shape}, of which the last may be {guess}: say "
        "SEGZOO_READER_OPTIONS=nifti:fourth=bands to give a network all of them as bands, nifti:fourth=pages "
        "for each by itself; or save one volume a file"
    )


def write_nifti(file: BinaryIO, volume: NDArray[Any], info: ImageInfo, suffix: str = ".nii.gz") -> None:
    """Write the masks of an image's pages as a volume that lies where the image lies.

    Args:
        file: to write into.
        volume: ``(pages, H, W)``: whole numbers, or float32.
        info: description of the image. The volume gets the shape, axes and affine of a NIfTI file; for other
            images, ``extra["affine"]`` says where the slices lie.
        suffix: suffix of the file: ``.nii``, or ``.nii.gz``, which is compressed.
    """
    nibabel = load_nibabel()
    given: Any = info.extra.get("nifti")
    if given:
        layout = Layout(*(tuple(given[name]) for name in ("shape", "axes", "steps")))
        array = np.zeros(layout.shape, volume.dtype)
        layout.slices(array)[...] = volume.reshape(layout.sizes)
        affine = np.array(given["affine"])
        array = array.reshape(array.shape[: given["dimensions"]])
    else:
        array = np.ascontiguousarray(volume.transpose(2, 1, 0))
        affine = np.array(info.extra.get("affine", _upright(info)))
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units(given["unit"] if given else "mm")
    if given:
        image.set_sform(affine, given["sform"])
        image.set_qform(affine if given["qform"] else None, given["qform"])
    content = image.to_bytes()
    if suffix.endswith(".gz"):
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream:
            stream.write(content)
        content = buffer.getvalue()
    file.write(content)


def _upright(info: ImageInfo) -> NDArray[np.float64]:
    """Return where (column, row, page) lie of slices that say at most how large their pixels are."""
    unit = {"um": 1e-3, "mm": 1.0, "m": 1e3}.get(info.unit, 1.0)
    height, width = info.pixel_size or (1.0, 1.0)
    return np.diag([-width * unit, -height * unit, 1.0, 1.0])
