"""DICOM files, and folders that hold the files of one series; with pydicom.

Standard: DICOM PS3.3 (modules of image pixels, planes and functional groups) and PS3.5 (encodings). Values
are those that the modality LUT or the rescale slope and intercept make of what is stored: Hounsfield units of
a CT. The slices of a series are pages, in the order in which they follow each other in the body.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError, MissingExtraError
from segzoo.interfaces import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

#: What a file begins with, after 128 bytes of anything.
MAGIC, OFFSET = b"DICM", 128
_COLOURS = ("red", "green", "blue")
#: Files of a folder of which one must be DICOM.
_LOOKED_AT = 8
#: Elements of a header that are longer are left in the file until they are asked for.
_LONG = 1 << 16
_WHAT = {
    "RTSTRUCT": "contours (RTSTRUCT)",
    "RTPLAN": "a treatment plan (RTPLAN)",
    "SR": "a report (SR)",
    "ANN": "annotations (ANN)",
    "PR": "a way to show images (PR)",
    "KO": "a list of objects (KO)",
    "REG": "a registration (REG)",
    "DOC": "a document (DOC)",
}


def load_pydicom() -> Any:
    """Return the module ``pydicom``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import_module("pydicom.pixels")
        return import_module("pydicom")
    except ImportError as error:
        raise MissingExtraError("DICOM needs pydicom: pip install 'segzoo-science[dicom]'") from error


def is_series(path: Path) -> bool:
    """Whether a folder holds the files of one series."""
    try:
        return path.is_dir() and _is_series(path, path.stat().st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _is_series(path: Path, _: int) -> bool:
    # Asked for each page, of a folder of hundreds of files.
    try:
        files = _files(path)
        if not any(map(_has_magic, files[:_LOOKED_AT])):
            return False  # a folder of a hundred thousand photographs
        files = [file for file in files if _has_magic(file)]
        first, last = (next(filter(None, map(_series_of, way)), "") for way in (files, reversed(files)))
        return len(files) > 1 and bool(first) and first == last
    except MissingExtraError:
        return True  # opening it says what to install


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def _has_magic(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(OFFSET + len(MAGIC))[OFFSET:] == MAGIC


def _series_of(path: Path) -> str:
    """Return the series that an image belongs to; empty if the file holds no image."""
    pydicom = load_pydicom()
    try:
        known = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Modality", "Rows"]
        )
    except Exception:  # damaged: opening it reports the error
        return ""
    is_image = "Rows" in known and known.get("Modality") != "SEG"
    return str(known.get("SeriesInstanceUID", "")) if is_image else ""


@contextmanager
def open_dicom(path: Path) -> Iterator[DicomImage]:
    """Open a DICOM file, or a folder of the files of one series.

    Raises:
        ImageError: it has no pixels, is damaged, or its files do not belong together.
        MissingExtraError: pydicom is not installed, or what unpacks these pixels is not.
    """
    yield _opened(path, _state(path))


def _state(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file does, or one of a folder."""
    if not path.is_dir():
        status = path.stat()
        return ((path.name, status.st_mtime_ns, status.st_size),)
    with os.scandir(path) as entries:
        known = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return tuple(sorted((name, status.st_mtime_ns, status.st_size) for name, status in known))


@lru_cache(maxsize=4)
def _opened(path: Path, _: tuple[tuple[str, int, int], ...]) -> DicomImage:
    # Kept for the next page: each is asked for by itself, and a series is hundreds of headers.
    if not path.is_dir():
        frames = frames_of(_Header(path))
        tiled = "TotalPixelMatrixRows" in frames[0].header.dataset
        return TiledImage(path, frames) if tiled else DicomImage(path, frames)
    headers = [_Header(file) for file in _files(path) if _has_magic(file)]
    images = [header for header in headers if header.is_image]
    if not images:
        raise ImageError(f"{path}: none of its {len(headers)} DICOM files holds an image")
    return DicomImage(path, _in_order(path, images))


@dataclass(frozen=True)
class Frame:
    """One picture of a file.

    Attributes:
        header: header of its file.
        number: number of the frame in its file, from 0.
        position: position in the patient of the centre of its first pixel, in mm; ``None`` if it is unknown.
        slope: factor that stored values are multiplied by.
        intercept: value that is added after that.
    """

    header: _Header
    number: int
    position: tuple[float, ...] | None
    slope: float
    intercept: float


class _Header:
    """What a file says before its pixels."""

    def __init__(self, path: Path) -> None:
        pydicom = load_pydicom()
        self.path = path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of values that are spelt against the standard
                # A file without its preamble is read if its name says what it is.
                self.dataset: Any = pydicom.dcmread(path, defer_size=_LONG, force=not _has_magic(path))
        except pydicom.errors.InvalidDicomError as error:
            raise ImageError(f"{path} is no DICOM file, or is damaged: {error}") from error
        if "SOPClassUID" not in self.dataset:
            raise ImageError(f"{path} is no DICOM file, or is damaged: it does not say what it holds")
        self.modality = str(self.dataset.get("Modality", ""))
        if "TransferSyntaxUID" not in self.dataset.file_meta:
            self.dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian

    @property
    def is_image(self) -> bool:
        """Whether it holds pixels, and not those of a segmentation."""
        return "Rows" in self.dataset and "PixelData" in self.dataset and self.modality != "SEG"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its frames."""
        return int(self.dataset.Rows), int(self.dataset.Columns)

    def group(self, name: str, frame: int = 0) -> Any:
        """Return the item of a functional group, of a frame or shared by all; the dataset itself without."""
        for kind, index in (("PerFrame", frame), ("Shared", 0)):
            items = self.dataset.get(f"{kind}FunctionalGroupsSequence") or ()
            if index < len(items) and name in items[index] and len(items[index][name].value):
                return items[index][name].value[0]
        return self.dataset


def frames_of(header: _Header) -> list[Frame]:
    """Return the frames of a file, in the order of their positions where those differ.

    Raises:
        ImageError: it holds no image.
    """
    path, dataset = header.path, header.dataset
    if header.modality == "SEG":
        raise ImageError(
            f"{path} is a segmentation (DICOM SEG), not an image: to learn from it, save it as a volume of "
            "labels, such as dcmqi's segimage2itkimage writes as NIfTI"
        )
    if not header.is_image:
        what = _WHAT.get(header.modality, f"no image ({header.modality or 'no modality'})")
        raise ImageError(f"{path} has no pixels: it holds {what}. Name the files of the images it belongs to")
    frames = [_frame(header, number) for number in range(max(1, int(dataset.get("NumberOfFrames") or 1)))]
    return _sorted(frames) if len({frame.position for frame in frames} - {None}) == len(frames) else frames


def _frame(header: _Header, number: int) -> Frame:
    rescale = header.group("PixelValueTransformationSequence", number)
    place = header.group("PlanePositionSequence", number).get("ImagePositionPatient")
    return Frame(
        header,
        number,
        tuple(map(float, place)) if place is not None and len(place) == 3 else None,
        _number(rescale.get("RescaleSlope"), 1.0),
        _number(rescale.get("RescaleIntercept"), 0.0),
    )


def _number(value: Any, default: float) -> float:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if len(value) else None
    try:
        return default if value is None or value == "" else float(value)
    except ValueError:
        return default


def _in_order(folder: Path, headers: Sequence[_Header]) -> list[Frame]:
    """Return the frames of the files of a series.

    Raises:
        ImageError: they are of several series, or of several sizes.
    """
    series: dict[str, list[_Header]] = {}
    for header in headers:
        series.setdefault(str(header.dataset.get("SeriesInstanceUID", "")), []).append(header)
    if len(series) > 1:
        told = ", ".join(f"{_described(files[0])} ({len(files)})" for files in series.values())
        raise ImageError(
            f"{folder} holds {len(series)} series, and one is an image: {told}. Give each a folder, or name "
            "files"
        )
    kinds: dict[tuple[Any, ...], list[_Header]] = {}
    for header in headers:
        kinds.setdefault((*header.size, int(header.dataset.get("SamplesPerPixel") or 1)), []).append(header)
    if len(kinds) > 1:
        told = ", ".join(
            f"{'x'.join(map(str, size[: 2 + (size[2] > 1)]))} ({len(files)}, such as {files[0].path.name})"
            for size, files in kinds.items()
        )
        raise ImageError(
            f"{folder}: the slices of a series must have one size, and these have {told}. Move those that do "
            "not belong to it, such as a scout image, to another folder"
        )
    frames = _sorted([frame for header in headers for frame in frames_of(header)])
    _tell_gaps(folder, frames)
    return frames


def _tell_gaps(folder: Path, frames: Sequence[Frame]) -> None:
    """Warn where two slices lie farther apart than the others, as they do where one is missing."""
    places = [frame.position for frame in frames if frame.position is not None]
    if len(places) < len(frames) or len(frames) < 3:
        return
    steps = np.linalg.norm(np.diff(np.array(places), axis=0), axis=1)
    usual = float(np.median(steps))
    far = np.flatnonzero(steps > 1.5 * usual) if usual > 0 else []
    if len(far):
        before, after = frames[far[0]].header.path.name, frames[far[0] + 1].header.path.name
        warnings.warn(
            f"{folder}: slices lie {usual:g} mm apart, but {before} and {after} {steps[far[0]]:g} mm: one "
            "may be missing",
            stacklevel=2,
        )


def _described(header: _Header) -> str:
    words = header.dataset.get("SeriesDescription") or f"series {header.dataset.get('SeriesNumber', '?')}"
    return f"{header.modality} {str(words).strip()!r}, such as {header.path.name}"


def _sorted(frames: list[Frame]) -> list[Frame]:
    """Return frames in the order of their positions in the body; if these are unknown, by number."""
    normal = _normal(frames[0])
    if normal is not None and all(frame.position is not None for frame in frames):
        along = {id(frame): float(np.dot(normal, frame.position or ())) for frame in frames}
        if len({round(place, 3) for place in along.values()}) > 1:
            return sorted(frames, key=lambda frame: (round(along[id(frame)], 3), *_numbered(frame)))
    return sorted(frames, key=_numbered)


def _numbered(frame: Frame) -> tuple[float, str, int]:
    return _number(frame.header.dataset.get("InstanceNumber"), 0.0), frame.header.path.name, frame.number


def _directions(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return where columns and rows run in the patient, towards left, back and head."""
    place = frame.header.group("PlaneOrientationSequence", frame.number)
    values = place.get("ImageOrientationPatient")
    if values is None or len(values) != 6:
        return None
    along = np.array(list(map(float, values)))
    return along[:3], along[3:]


def _normal(frame: Frame) -> NDArray[np.float64] | None:
    found = _directions(frame)
    return None if found is None else np.cross(*found)


class DicomImage:
    """Frames of one size as pages; `open_dicom` opens them."""

    def __init__(self, path: Path, frames: Sequence[Frame]) -> None:
        self._path, self._frames = path, list(frames)
        first = frames[0].header
        self._types = [_values_of(frame) for frame in frames]
        dtype = np.result_type(*self._types)
        self._dtype = np.dtype(np.float32) if dtype.kind == "f" else dtype
        self.info = self._describe(first)

    def _describe(self, first: _Header) -> ImageInfo:
        dataset, frame = first.dataset, self._frames[0]
        height, width = first.size
        photometric = str(dataset.get("PhotometricInterpretation", ""))
        samples = int(dataset.get("SamplesPerPixel") or 1)
        names = tuple(f"band {band + 1}" for band in range(samples))
        spacing = first.group("PixelMeasuresSequence", frame.number).get("PixelSpacing")
        size = tuple(map(float, spacing)) if spacing is not None and len(spacing) == 2 else ()
        volume = len({one.position for one in self._frames} - {None}) == len(self._frames) > 1
        timed = "FrameTime" in dataset or "CineRate" in dataset or first.modality in ("US", "XA", "RF")
        padding = dataset.get("PixelPaddingValue")
        padded = isinstance(padding, int) and samples == 1
        found = ImageInfo(
            height=height,
            width=width,
            dtype=self._dtype.name,
            bands={1: ("grey",), 3: _COLOURS}.get(samples, names),
            format="DICOM",
            palette=_palette(dataset) if photometric == "PALETTE COLOR" else (),
            pages=len(self._frames),
            page_axis="z" if volume else "time" if timed and len(self._frames) > 1 else "",
            pixel_size=(size[0], size[1]) if size and min(size) > 0 else None,
            unit="mm" if size else "",
            nodata=padding * frame.slope + frame.intercept if padded else None,
            window=_window(first.group("FrameVOILUTSequence", frame.number)),
            inverted=photometric == "MONOCHROME1",
        )
        affine = self._affine(size)
        return found if affine is None else replace(found, extra={"affine": affine})

    def _affine(self, size: tuple[float, ...]) -> list[list[float]] | None:
        """Return where (column, row, page) lie, in mm towards right, front and head."""
        first, last = self._frames[0], self._frames[-1]
        along, normal = _directions(first), _normal(first)
        if along is None or normal is None or first.position is None or last.position is None or not size:
            return None
        between = len(self._frames) - 1
        step = (np.array(last.position) - first.position) / between if between else normal
        if not step.any():
            return None
        thickness = first.header.group("PixelMeasuresSequence", first.number).get("SliceThickness")
        if not between:
            step = normal * (_number(thickness, 1.0) or 1.0)
        affine = np.eye(4)
        for column, vector in enumerate((along[0] * size[1], along[1] * size[0], step, first.position)):
            affine[:3, column] = vector
        affine[:2] *= -1  # DICOM counts towards left and back
        return affine.tolist()

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a frame ``(H, W, C)``: values rescaled, colours as red, green and blue."""
        return self._decoded(self._frames[page])

    def _decoded(self, frame: Frame) -> NDArray[Any]:
        pydicom = load_pydicom()
        header = frame.header
        many = int(header.dataset.get("NumberOfFrames") or 1) > 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                source = header.path if _has_magic(header.path) else header.dataset
                pixels = pydicom.pixels.pixel_array(source, index=frame.number if many else 0)
        except (RuntimeError, NotImplementedError) as error:
            name = header.dataset.file_meta.TransferSyntaxUID.name
            raise ImageError(
                f"{header.path} cannot be unpacked, its pixels are {name}: what pydicom does not unpack by "
                f"itself, pip install 'segzoo-science[dicom-codecs]' does ({_first_line(error)})"
            ) from error
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        if self.info.palette:
            first = int(header.dataset.RedPaletteColorLookupTableDescriptor[1])
            return np.clip(pixels.astype(np.int64) - first, 0, len(self.info.palette) - 1).astype(self._dtype)
        if "ModalityLUTSequence" in header.dataset:
            pixels = pydicom.pixels.apply_modality_lut(pixels, header.dataset)
        elif (frame.slope, frame.intercept) != (1.0, 0.0):
            wide = np.float64 if self._dtype.kind == "f" else np.int64
            pixels = pixels.astype(wide) * wide(frame.slope) + wide(frame.intercept)
        return np.ascontiguousarray(pixels, self._dtype)


class TiledImage(DicomImage):
    """A slide: the frames of a file are tiles of one image, or of several that cover the same ground."""

    def __init__(self, path: Path, frames: Sequence[Frame]) -> None:
        super().__init__(path, sorted(frames, key=lambda frame: frame.number))
        dataset = frames[0].header.dataset
        self._tall, self._wide = frames[0].header.size
        height, width = int(dataset.TotalPixelMatrixRows), int(dataset.TotalPixelMatrixColumns)
        across, down = -(-width // self._wide), -(-height // self._tall)
        #: By page, each tile's frame by the place of its top left pixel.
        self._tiles: list[dict[tuple[int, int], Frame]] = []
        for frame in self._frames:
            place = frame.header.group("PlanePositionSlideSequence", frame.number)
            if "RowPositionInTotalImagePixelMatrix" in place:
                top = int(place.RowPositionInTotalImagePixelMatrix) - 1
                left = int(place.ColumnPositionInTotalImagePixelMatrix) - 1
            else:
                row, column = divmod(frame.number % (across * down), across)
                top, left = row * self._tall, column * self._wide
            page = next((tiles for tiles in self._tiles if (top, left) not in tiles), None)
            if page is None:
                self._tiles.append(page := {})
            page[top, left] = frame
        self.info = replace(
            self.info, height=height, width=width, pages=len(self._tiles), page_axis="", extra={}
        )

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return the whole slide ``(H, W, C)``; 0 where it has no tile."""
        return self.rows(page, 0, self.info.height)

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return some rows, decoding the tiles that they lie in."""
        found = np.zeros((bottom - top, self.info.width, len(self.info.bands)), self._dtype)
        for (y, x), frame in self._tiles[page].items():
            first, last = max(y, top), min(y + self._tall, bottom)
            if first < last:
                part = found[first - top : last - top, x : x + self._wide]
                part[:] = self._decoded(frame)[first - y : last - y, : part.shape[1]]
        return found

    def resident(self, page: int) -> int:
        """Return the bytes that are held while a tile is decoded."""
        return 2 * self._tall * self._wide * len(self.info.bands) * self._dtype.itemsize


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _values_of(frame: Frame) -> np.dtype[Any]:
    """Return the smallest type that holds all values that a frame can have."""
    dataset = frame.header.dataset
    if "ModalityLUTSequence" in dataset:
        return np.dtype(np.uint16)
    signed, bits = bool(dataset.get("PixelRepresentation")), int(dataset.get("BitsStored") or 16)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not (frame.slope.is_integer() and frame.intercept.is_integer()):
        return np.dtype(np.float32)
    low, high = sorted(int(frame.slope) * value + int(frame.intercept) for value in (low, high))
    types = (np.uint8, np.uint16, np.uint32) if low >= 0 else (np.int8, np.int16, np.int32)
    return np.dtype(
        next((one for one in types if np.iinfo(one).min <= low and high <= np.iinfo(one).max), np.float32)
    )


def _window(holder: Any) -> tuple[float, float] | None:
    centre = _number(holder.get("WindowCenter"), math.nan)
    width = _number(holder.get("WindowWidth"), math.nan)
    return (centre - width / 2, centre + width / 2) if width > 0 and math.isfinite(centre) else None


def _palette(dataset: Any) -> tuple[tuple[int, int, int], ...]:
    """Return 8-bit colours by value, from the first that is mapped."""
    planes: list[NDArray[Any]] = []
    for name in ("Red", "Green", "Blue"):
        entries, _, bits = dataset[f"{name}PaletteColorLookupTableDescriptor"].value
        data = dataset.get(f"{name}PaletteColorLookupTableData")
        if data is None:
            return ()
        wide = len(data) >= 2 * (entries or 65536)
        levels = np.frombuffer(data, "<u2" if wide else np.uint8)[: entries or 65536]
        planes.append((levels >> 8 if wide and bits == 16 else levels).astype(np.uint8))
    return tuple((int(r), int(g), int(b)) for r, g, b in zip(*planes, strict=True))
