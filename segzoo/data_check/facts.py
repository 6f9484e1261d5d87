"""What one file says: its size, its mode, its values. Each file is read and decoded once.

Facts are small, so that those of ten thousand files fit in memory; pixels are never kept.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from segzoo.data_check.objects import FEWEST, look_at_values
from segzoo.errors import ImageError, MissingExtraError
from segzoo.files import regular
from segzoo.images import as_image, from_pillow, read
from segzoo.images.opening import reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.data_check.objects import ValueFacts

#: Side of the grey thumbnail by which images are compared.
SKETCH = 32
#: More values than this in one mask are counted, not kept.
MOST_VALUES = 256
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LARGE = 32_000_000
#: Only one image above ``_LARGE`` pixels is decoded at a time, so that memory stays bounded.
_large_one = threading.Lock()


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image.

    Attributes:
        size: ``(height, width)``, upright.
        stored: ``(height, width)`` before any EXIF rotation.
        mode: Pillow's word for the kind of pixel.
        format: of the file, such as ``PNG``.
        frames: pages of a TIFF or frames of a GIF.
        turn: EXIF orientation; 1 is upright.
        digest: of the bytes.
        sketch: ``(32, 32)`` uint8, the image in small and grey.
        moments: ``(C, 2)``: mean and mean square of values in [0, 1]; only of images in the sample.
        problem: why it cannot be read; all else is then meaningless.
        extra: how to install what reading it takes, where that is why.
    """

    size: tuple[int, int] = (0, 0)
    stored: tuple[int, int] = (0, 0)
    mode: str = ""
    format: str = ""
    frames: int = 1
    turn: int = 1
    digest: bytes = b""
    sketch: NDArray[np.uint8] | None = None
    moments: NDArray[np.float64] | None = None
    problem: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """One mask.

    Attributes:
        size: ``(height, width)``, as stored; nothing turns masks.
        values: pixels of each value; empty where the file holds colours, or more than `MOST_VALUES`
            values.
        colours: pixels of each colour, where the file holds colours; empty where there are too many.
        palette: the colour of each value that occurs, where the file has a palette.
        distinct: how many values or colours occur.
        coloured: whether the file holds colours rather than one value a pixel.
        whole: whether all values are stored as whole numbers.
        numbers: how many values other than 0 there are, where all are whole numbers of 0 or more; else 0.
        highest: of them, 0 where there is none.
        zeros: pixels of value 0, likewise.
        looks: how the values lie in the mask, where they may number objects; only of masks in the sample.
        problem: why it cannot be read; all else is then meaningless.
        extra: how to install what reading it takes, where that is why.
    """

    size: tuple[int, int] = (0, 0)
    mode: str = ""
    format: str = ""
    frames: int = 1
    turn: int = 1
    values: dict[int, int] = field(default_factory=dict)
    colours: dict[tuple[int, int, int], int] = field(default_factory=dict)
    palette: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    distinct: int = 0
    coloured: bool = False
    whole: bool = True
    numbers: int = 0
    highest: int = 0
    zeros: int = 0
    looks: ValueFacts | None = None
    problem: str = ""
    extra: str = ""


def look_at_image(path: Path, *, measure: bool, page: int | None = None) -> ImageFacts:
    """Read an image; ``measure`` decodes a JPEG at full size, for mean and std."""
    return _guarded(path, page, lambda image, digest: _image(image, digest, measure), ImageFacts)


def look_at_mask(path: Path, *, measure: bool = True, page: int | None = None) -> MaskFacts:
    """Read a mask and count its values; ``measure`` looks how they lie, if they may number objects."""
    return _guarded(path, page, lambda image, _: _mask(image, measure), MaskFacts)


def _guarded(
    path: Path, page: int | None, look: Callable[[Image.Image, bytes], Any], facts: type[Any]
) -> Any:
    """Return what ``look`` says of a file, or facts that hold nothing but the problem."""
    try:
        with warnings.catch_warnings(), _opened(path, page) as (image, digest):
            warnings.simplefilter("ignore")
            if image.width * image.height <= _LARGE:
                return look(image, digest)
            with _large_one:
                return look(image, digest)
    except UnidentifiedImageError:
        problem = "it holds no image in a format that Pillow knows"
    except Image.DecompressionBombError:
        problem = "it is too large to decode at once; cut it into tiles"
    except ImageError as error:
        problem = str(error)
    except MissingExtraError as error:
        return facts(problem=str(error), extra=str(error))
    except MemoryError:
        problem = "it does not fit in memory; cut it into tiles"
    except Exception as error:  # there is no list of what readers raise (segzoo.images.reading.naming)
        system = error.strerror if isinstance(error, OSError) else None
        told = str(error) or type(error).__name__
        problem = system.lower() if system else f"it is damaged or cut short ({told})"
    return facts(problem=problem)


@contextmanager
def _opened(path: Path, page: int | None) -> Iterator[tuple[Image.Image, bytes]]:
    """Open an image and return it with the digest of its bytes; pixels are decoded by the caller."""
    if not by_pillow(path):
        image = picture_of(read(path, page=page), path)
        yield image, _digest(image.tobytes())
        return
    if page is not None:
        with Image.open(regular(path)) as image:
            image.seek(page)
            yield image, _digest(image.tobytes())
        return
    with regular(path).open("rb") as file:
        if not file.read(1):
            raise ImageError("the file is empty")
        file.seek(0)
        # Opened first: what is no image is not read to its end, which may be far away.
        with Image.open(path) as image:
            yield image, hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def by_pillow(path: Path) -> bool:
    """Whether Pillow opens a file."""
    kind = reader_of(path).name
    if kind != "tiff":
        return kind == "pillow"
    try:
        with Image.open(path) as image:
            tags = getattr(image, "tag_v2", {})
            return not (tags.get(262) == 2 and max(tags.get(258, (1,))) > 8)
    except UnidentifiedImageError:
        return False
    except Exception:
        return True  # reading it will say what is wrong


def picture_of(array: NDArray[Any], path: Path) -> Image.Image:
    """Return numbers as an image of the same values; colours of more than 8 bits as training sees them.

    Raises:
        ImageError: it is neither ``(H, W)`` nor ``(H, W, C)``, or its numbers are of a strange kind.
    """
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype.kind in "iu" and array.dtype not in (np.uint8, np.uint16):
        array = array.astype(np.int32)
    try:
        if array.ndim == 3 and array.dtype != np.uint8:
            array = as_image(array)
        return Image.fromarray(array.astype(np.float32) if array.dtype.kind == "f" else array)
    except (TypeError, ValueError) as error:
        raise ImageError(f"an array of {array.shape} {array.dtype} values is no image") from error


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _image(image: Image.Image, digest: bytes, measure: bool) -> ImageFacts:
    height, width = stored = image.height, image.width
    turn, frames, mode = _turn(image), getattr(image, "n_frames", 1), image.mode
    if not measure and image.format == "JPEG":
        # Reads the whole file, so that damage is seen, but computes an eighth of the pixels a side.
        image.draft("RGB", (max(width // 8, SKETCH), max(height // 8, SKETCH)))
    pixels = Image.fromarray(_squeezed(from_pillow(image)))
    return ImageFacts(
        size=(width, height) if turn >= 5 else stored,
        stored=stored,
        mode=mode,
        format=image.format or "",
        frames=frames,
        turn=turn,
        digest=digest,
        sketch=sketch_of(pixels),
        moments=moments_of(pixels) if measure else None,
    )


def _turn(image: Image.Image) -> int:
    turn = image.getexif().get(_ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def _squeezed(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return array[..., 0] if array.shape[2] == 1 else array


def sketch_of(image: Image.Image) -> NDArray[np.uint8]:
    """Return the image in small and grey, for comparing."""
    grey = image.convert("L").resize((SKETCH, SKETCH), Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(grey)


def moments_of(image: Image.Image) -> NDArray[np.float64]:
    """Return mean and mean square of each channel, ``(C, 2)``, of values in [0, 1]."""
    counts = np.array(image.histogram(), np.float64).reshape(-1, 256)
    levels = np.arange(256) / 255
    return np.stack([counts @ levels, counts @ levels**2], axis=1) / (image.width * image.height)


def _mask(image: Image.Image, measure: bool) -> MaskFacts:
    turn, frames, mode = _turn(image), getattr(image, "n_frames", 1), image.mode
    told: dict[str, Any] = {
        "size": (image.height, image.width),
        "mode": mode,
        "format": image.format or "",
        "frames": frames,
        "turn": turn,
    }
    if mode in ("1", "L", "P"):
        counts = image.histogram()[:256]
        values = {value: count for value, count in enumerate(counts) if count}
        if mode == "1":
            values = {min(value, 1): count for value, count in values.items()}
        palette = _palette(image, values) if mode == "P" else {}
        told |= _numbers(np.asarray(image), np.array(list(values)), np.array(list(values.values())), measure)
        return MaskFacts(**told, values=values, distinct=len(values), palette=palette)
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _deep(np.asarray(image), told, measure)
    return _colours(image.convert("RGB"), told)


def _palette(image: Image.Image, values: dict[int, int]) -> dict[int, tuple[int, int, int]]:
    flat = image.getpalette("RGB") or []
    return {v: (flat[3 * v], flat[3 * v + 1], flat[3 * v + 2]) for v in values if 3 * v + 2 < len(flat)}


def _deep(array: NDArray[Any], told: dict[str, Any], measure: bool) -> MaskFacts:
    found, counts = np.unique(array, return_counts=True)
    integral = bool(np.all(np.isfinite(found)) and np.all(found == np.floor(found)))
    whole = bool(np.issubdtype(array.dtype, np.integer))
    values: dict[int, int] = {}
    if integral and len(found) <= MOST_VALUES:
        values = {int(value): int(count) for value, count in zip(found, counts, strict=True)}
    if integral:
        told |= _numbers(array, found, counts, measure)
    return MaskFacts(**told, values=values, distinct=len(found), whole=whole)


def _numbers(
    array: NDArray[Any], found: NDArray[Any], counts: NDArray[np.int64], measure: bool
) -> dict[str, Any]:
    """Return what is known of whole numbers, given which there are and how often."""
    if found[0] < 0:
        return {}
    zeros = int(counts[0]) if found[0] == 0 else 0
    numbers = len(found) - (zeros > 0)
    looks = look_at_values(array) if measure and numbers >= FEWEST else None
    return {"numbers": numbers, "highest": int(found[-1]), "zeros": zeros, "looks": looks}


def _colours(image: Image.Image, told: dict[str, Any]) -> MaskFacts:
    found = image.getcolors(4096)
    if found is None:
        return MaskFacts(**told, distinct=4097, coloured=not _is_grey(image))
    colours: dict[Any, int] = {colour: count for count, colour in found}
    if all(red == green == blue for red, green, blue in colours):
        return MaskFacts(**told, values={c[0]: n for c, n in colours.items()}, distinct=len(colours))
    kept = colours if len(colours) <= MOST_VALUES else {}
    return MaskFacts(**told, colours=kept, distinct=len(colours), coloured=True)


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.split()
    return red.tobytes() == green.tobytes() == blue.tobytes()


def upright(image: Image.Image, turn: int) -> Image.Image:
    """Return an image turned as an EXIF orientation of 1 to 8 says."""
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image
