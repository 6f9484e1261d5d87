"""Masks on disk to class indices, and back."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from segzoo.errors import MaskError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from segzoo.specs import Labels


def read_mask(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the values of a mask file as ``(H, W)``: palette indices as they are, grey values as they are.

    Raises:
        MaskError: the file cannot be read, or holds colours rather than one value a pixel.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                warnings.warn(f"{path} holds several pages; only the first is read", stacklevel=2)
            if image.mode in ("1", "L", "P", "I", "F") or image.mode.startswith("I;16"):
                return np.asarray(image).astype(np.uint8) if image.mode == "1" else np.asarray(image)
            colours = np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise MaskError(f"there is no mask {path}") from error
    except UnidentifiedImageError as error:
        raise MaskError(f"{path} is empty or no image in a format that Pillow knows") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise MaskError(f"{path} is damaged or cut short: {error}") from error
    if (colours == colours[..., :1]).all():
        return colours[..., 0]
    raise MaskError(
        f"{path} holds colours; a mask needs one value a pixel: class indices, 0/255 or a palette"
    )


def to_classes(values: NDArray[Any], labels: Labels, where: str) -> NDArray[np.uint8]:
    """Map a mask's values to class indices; a two-class mask may also hold 0 and 255.

    Args:
        values: ``(H, W)``, as `read_mask` gives them.
        labels: the classes, and the values that stand for them.
        where: names the file in errors.

    Raises:
        MaskError: a value stands for no class; the text says which values and what would help.
    """
    if not np.issubdtype(values.dtype, np.integer):
        raise MaskError(f"{where} holds {values.dtype} values; a mask needs integers")
    found = np.unique(values)
    meaning = labels.values or tuple(range(len(labels.classes)))
    if not labels.values and len(labels.classes) == 2 and set(found.tolist()) <= {0, 255}:
        meaning = (0, 255)
    ignored = set() if labels.ignore_index is None else {labels.ignore_index}
    strange = [int(value) for value in found if value not in meaning and value not in ignored]
    if strange:
        shown = ", ".join(map(str, strange[:8])) + (", ..." if len(strange) > 8 else "")
        raise MaskError(
            f"{where} holds the values {shown}, which stand for none of the {len(labels.classes)} classes "
            f"{', '.join(labels.classes)}: name more classes, or say values={strange[:8]} of your masks"
        )
    classes = np.zeros(values.shape, np.uint8)
    for index, value in enumerate(meaning):
        classes[values == value] = index
    for value in ignored:
        classes[values == value] = value
    return classes
