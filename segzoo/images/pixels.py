"""Convert Pillow images and arrays of any kind to ``(H, W, C)`` uint8."""

from __future__ import annotations

from contextlib import contextmanager
from io import IOBase
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import ExifTags, Image, ImageOps

from segzoo.errors import ImageError
from segzoo.images.bands import COLOURS, GREY
from segzoo.images.intensity import scaling_for
from segzoo.interfaces import ImageInfo
from segzoo.options import check_choice
from segzoo.specs import Intensity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

#: Order of an array's axes: rows, columns, channels, or channels first.
Layout = Literal["HWC", "CHW"]


def from_pillow(image: Image.Image) -> NDArray[np.uint8]:
    """Return a Pillow image as ``(H, W, 3)`` or ``(H, W, 1)`` uint8, rotated upright.

    Raises:
        ImageError: it has no pixels, or values out of range.
    """
    return to_uint8(_pillow_pixels(image))


def _pillow_pixels(image: Image.Image, *, alpha: bool = False) -> NDArray[Any]:
    """Return the result of `from_pillow` in the image's own type, optionally with alpha."""
    if 0 in image.size:
        raise ImageError(f"an image must have at least one pixel, got {image.width} x {image.height}")
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)  # which also copies upright images
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return np.asarray(image)[..., None]
    grey = image.mode in ("1", "L", "LA", "La")
    mode = ("L" if grey else "RGB") + "A" * (alpha and _has_alpha(image))
    if image.mode == "La":  # Pillow converts it only to LA
        image = image.convert("LA")
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # as Pillow recommends in a warning that names no file
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels.reshape(image.height, image.width, -1)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def as_image(image: NDArray[Any] | Tensor | Image.Image, *, layout: Layout = "HWC") -> NDArray[np.uint8]:
    """Return the result of `as_pixels` as uint8; see `to_uint8` for the scaling of values.

    Args:
        image: the image; see `as_pixels`.
        layout: axes of arrays; see `as_pixels`.

    Raises:
        ImageError: it has another shape, no pixels, or values out of range.
        OptionError: there is no such layout.
    """
    return to_uint8(as_pixels(image, layout=layout))


def as_pixels(image: NDArray[Any] | Tensor | Image.Image, *, layout: Layout = "HWC") -> NDArray[Any]:
    """Return an image as ``(H, W, C)`` in its own type: all bands, except the alpha of a Pillow image.

    Args:
        image: a Pillow image, or an array or tensor on any device, ``(H, W)`` or in ``layout``.
        layout: axes of arrays and tensors: ``HWC``, or ``CHW`` for channels first, as in torch.

    Raises:
        ImageError: it has another shape, or no pixels.
        OptionError: there is no such layout.
    """
    if isinstance(image, Image.Image):
        with _naming_mode(image):
            return _pillow_pixels(image)
    check_choice("layout", layout, get_args(Layout))
    array = np.asarray(image) if isinstance(image, np.ndarray) else from_tensor(image)
    if array.ndim not in (2, 3) or 0 in array.shape:
        axes = ", ".join(layout)
        raise ImageError(f"an image must be (H, W) or ({axes}) with at least one pixel, got {array.shape}")
    if array.ndim == 2:
        array = array[..., None]
    elif layout == "CHW":
        array = array.transpose(1, 2, 0)
    return array


def as_pixels_with_info(
    image: NDArray[Any] | Tensor | Image.Image, *, layout: Layout = "HWC"
) -> tuple[NDArray[Any], ImageInfo | None]:
    """Return the result of `as_pixels` with all bands, and for a Pillow image the metadata from its mode.

    Arrays and tensors have no metadata, so none of their bands is alpha. Arguments and errors are those of
    `as_pixels`.
    """
    if not isinstance(image, Image.Image):
        return as_pixels(image, layout=layout), None
    with _naming_mode(image):
        pixels = _pillow_pixels(image, alpha=True)
    height, width, count = pixels.shape
    bands = (GREY,) if count < 3 else COLOURS
    alpha = len(bands) if count > len(bands) else None
    names = bands if alpha is None else (*bands, "alpha")
    return pixels, ImageInfo(height=height, width=width, dtype=str(pixels.dtype), bands=names, alpha=alpha)


@contextmanager
def _naming_mode(image: Image.Image) -> Iterator[None]:
    """Add the mode to errors about a Pillow image that is closed, or whose file is truncated."""
    try:
        yield
    except ImageError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"the {image.mode} Pillow image cannot be read: {error}") from error


def from_tensor(image: Any) -> NDArray[Any]:
    """Return a tensor, on any device and of any type, or an array-like object, as an array."""
    try:
        if isinstance(image, str | bytes | bytearray | memoryview | IOBase):
            raise TypeError("give a file as a path, or open it with PIL.Image.open")
        if not hasattr(image, "detach"):
            return np.asarray(image)
        tensor = image.detach().cpu()
        # numpy has no bfloat16.
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, sparse tensors, meta tensors
        told = str(error).partition("\n")[0]
        raise ImageError(f"{type(image).__name__} is not an array of pixels: {told}") from error


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale values to 0 to 255, as `Intensity` does in ``uint8`` mode.

    8-bit values do not change. The bit depth of deeper integers is what all but isolated bright values need,
    in steps of two from 8: files of 12-bit cameras are 16 bits wide but reach only 4095. Floats up to about 1
    are multiplied by 255, larger ones are used unchanged. False is 0 and true 255. NaN and infinity become 0.

    Raises:
        ImageError: values are not numbers, are negative, or are floats above 255.
    """
    if array.dtype == np.uint8:
        return array
    planes = array.reshape(*array.shape, *(1,) * (3 - array.ndim))
    found = scaling_for(Intensity(), planes).apply(planes)
    return found.reshape(array.shape).astype(np.uint8, copy=False)
