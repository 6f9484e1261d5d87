"""Small pictures of a case: image, ground truth, prediction, and their differences."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.evaluation.results import Panel
from segzoo.images import displayed
from segzoo.labels import foreground, found_in_words
from segzoo.prediction.outputs.painting import paint_classes
from segzoo.specs import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.evaluation.samples import ScoredSample
    from segzoo.specs import Labels

#: Longest side of a picture, in pixels.
LONGEST = 360

#: Colours of the errors; most people can distinguish them, and everybody can distinguish them from grey.
ERROR_COLOURS = {
    "missed": (213, 94, 0),
    "invented": (0, 114, 178),
    "wrong class": (204, 121, 167),
    "not counted": (150, 150, 150),
}


def panels(case: ScoredSample, counted: NDArray[np.bool_], labels: Labels) -> tuple[Panel, ...]:
    """Return the pictures of a case.

    Args:
        case: prediction and ground truth.
        counted: ``(H, W)``: which pixels count.
        labels: classes and colours.
    """
    rows, columns = thinned(case.target.shape)
    grid = (..., rows[:, None], columns)
    target, prediction, counts = case.target[grid], case.prediction[grid], counted[grid]
    whole = case.picture
    picture = None if whole is None else shrunk(whole, counts.shape)
    shown = [] if picture is None else [Panel("image", f"{case.name}: the image", *encode_image(picture))]
    for caption, mask, full in (
        ("truth", target, case.target),
        ("prediction", prediction, case.prediction),
    ):
        told = f"{case.name}: the {caption}: {shares(full[..., counted], labels)}"
        drawn = without(mask, ~counts, labels)
        shown.append(Panel(caption, told, *encode_mask(drawn, labels)))
    errors = error_map(target, prediction, counts, labels)
    told = _errors(error_map(case.target, case.prediction, counted, labels))
    shown.append(Panel("errors", f"{case.name}: errors: {told}", *_drawn(errors, picture)))
    return tuple(shown)


def error_map(
    target: NDArray[np.uint8], prediction: NDArray[np.uint8], counted: NDArray[np.bool_], labels: Labels
) -> NDArray[np.uint8]:
    """Return 0 for every correct pixel, else 1 + the error's index in `ERROR_COLOURS`.

    Args:
        target: ``(H, W)`` class indices; ``(K, H, W)`` if classes overlap: then a pixel is missed, invented,
            or both, which is the third kind.
        prediction: predicted mask in the same form.
        counted: ``(H, W)``: which pixels count.
        labels: labels, which define the background. Without a background, every error is a wrong class.
    """
    if labels.overlapping:
        missed = ((target == 1) & (prediction == 0)).any(axis=0)
        invented = ((target == 0) & (prediction == 1)).any(axis=0)
        return np.where(counted, missed + 2 * invented, 4).astype(np.uint8)
    wrong = target != prediction
    kinds = np.where(wrong, np.uint8(3), np.uint8(0))
    kinds[wrong & ~foreground(prediction, labels)] = 1
    kinds[wrong & ~foreground(target, labels)] = 2
    kinds[~counted] = 4
    return kinds


def thinned(shape: tuple[int, ...], longest: int = LONGEST) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of a mask that its picture shows, at most ``longest`` of each."""
    shape = shape[-2:]
    scale = min(1.0, longest / max(shape))
    height, width = (max(round(side * scale), 1) for side in shape)
    return tuple(  # pyright: ignore[reportReturnType] - two, as a mask has two sides
        ((np.arange(small) + 0.5) * side / small).astype(np.intp)
        for side, small in zip(shape, (height, width), strict=True)
    )


def shrunk(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the image as ``(H, W, 3)`` in that size, converted by `segzoo.images.displayed`."""
    picture = Image.fromarray(displayed(image))
    small = picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small)


def without(mask: NDArray[Any], outside: NDArray[np.bool_], labels: Labels) -> NDArray[Any]:
    """Return class indices in which pixels that do not count have the labels' unused index."""
    unused = labels.unused_index
    return np.where(outside, np.array(unused, np.uint8 if unused < 256 else np.uint16), mask)


def encode_mask(mask: NDArray[Any], labels: Labels) -> tuple[str, bytes]:
    """Return the media type and bytes of a picture of class indices; pixels that do not count are grey.

    It has a palette, so that its values are the indices; for more than 255 classes, or if classes overlap, it
    is an RGB picture.
    """
    unused, grey = labels.unused_index, ERROR_COLOURS["not counted"]
    if labels.overlapping:
        drawn = np.where((mask == IGNORED).all(axis=0)[..., None], grey, paint_classes(mask, labels))
        return _encoded(Image.fromarray(drawn.astype(np.uint8)), "PNG", optimize=True)
    if unused > 255:
        table = np.array([*labels.colours, grey], np.uint8)
        return _encoded(Image.fromarray(table[np.minimum(mask, len(table) - 1)]), "PNG", optimize=True)
    colours = [value for colour in labels.colours for value in colour]
    picture = Image.fromarray(mask.astype(np.uint8, copy=False))
    picture.putpalette([*colours, *[0] * (3 * unused - len(colours)), *grey])
    return _encoded(picture, "PNG", optimize=True)


def _drawn(errors: NDArray[np.uint8], picture: NDArray[np.uint8] | None) -> tuple[str, bytes]:
    """Draw errors on the image in pale grey, or on plain grey if there is no image."""
    pale = np.full((*errors.shape, 3), 235, np.uint8)
    if picture is not None:
        grey = picture.mean(axis=2, keepdims=True)
        pale = np.repeat((grey * 0.45 + 40).astype(np.uint8), 3, axis=2)
    table = np.array([(0, 0, 0), *ERROR_COLOURS.values()], np.uint8)
    drawn = np.where((errors > 0)[..., None], table[errors], pale)
    return _encoded(Image.fromarray(drawn), "PNG", optimize=True) if picture is None else encode_image(drawn)


def encode_image(pixels: NDArray[np.uint8]) -> tuple[str, bytes]:
    """Return the media type and bytes of a picture, ``(H, W, 3)``."""
    return _encoded(Image.fromarray(pixels), "JPEG", quality=88, subsampling=0)


def _encoded(picture: Image.Image, kind: str, **options: Any) -> tuple[str, bytes]:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"image/{kind.lower()}", file.getvalue()


def shares(mask: NDArray[np.uint8], labels: Labels) -> str:
    """Describe which share of a mask's pixels each class except background covers.

    Args:
        mask: class indices of any pixels ``(n,)``; ``(K, n)`` if classes overlap.
        labels: labels of the classes.
    """
    if labels.overlapping:
        covered = (mask == 1).mean(axis=1) if mask.shape[1] else np.zeros(len(mask))
        return found_in_words(dict(zip(labels.classes, covered.tolist(), strict=True)), labels)
    counts = np.bincount(mask, minlength=len(labels.classes))
    found = {name: count / mask.size for name, count in zip(labels.classes, counts, strict=False) if count}
    return found_in_words(found, labels)


def _errors(kinds: NDArray[np.uint8]) -> str:
    counts = np.bincount(kinds.ravel(), minlength=5)
    told = (
        f"{name} {count / kinds.size:.1%}"
        for name, count in zip(ERROR_COLOURS, counts[1:], strict=True)
        if count
    )
    return ", ".join(told) or "none"
