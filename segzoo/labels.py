"""Masks on disk to class indices, by lookup tables.

A table has an entry for every value that a file can hold: 256 for 8-bit masks, 65,536 for 16-bit
ones, 2**24 for colours. Values that stand for no class are found in the same pass.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError, MaskError, OptionError, did_you_mean
from segzoo.images import count_pages, open_image, scaled_size
from segzoo.images.intensity import missing
from segzoo.images.reading import read_stored, turned, without_alpha
from segzoo.options import listed
from segzoo.options import shown as short
from segzoo.specs import IGNORED, Labels

__all__ = [
    "Colour",
    "alone",
    "colour_number",
    "counted",
    "flattened",
    "foreground",
    "packed",
    "read_mask",
    "to_classes",
    "valid_pixels",
    "with_ignored",
]

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import Sample


#: Red, green and blue, 0 to 255 each.
Colour = tuple[int, int, int]


def read_mask(
    path: str | os.PathLike[str],
    *,
    scale: float = 1.0,
    page: int | None = None,
    colours: bool = False,
    palette: Sequence[Colour] = (),
) -> NDArray[Any]:
    """Read the values of a mask file as ``(H, W)``: palette indices or grey values, unchanged.

    Like an image, the mask is rotated as its file declares. Floats that are all whole numbers become
    integers.

    Args:
        path: an image, or an array that numpy.save wrote.
        scale: factor for both sides, and the new size is truncated; values are those of the nearest pixels.
        page: index of the page, from 0; ``None`` reads the first, with a warning if there are more.
        colours: whether a file of colours is given as ``(H, W, 3)`` instead of being an error.
        palette: the colours of the classes. A file of three equal bands is given as colours if all of its
            greys are among them, else as the values of one band.

    Raises:
        MaskError: the file cannot be read, or holds colours rather than one value a pixel.
    """
    path = Path(path)
    try:
        values = _values(path, scale, page)
    except MaskError:
        raise
    except ImageError as error:
        raise MaskError(str(error)) from error
    if values.ndim == 2:
        return values
    if (values == values[..., :1]).all() and not (colours and _greys_of(palette, values[..., 0])):
        return values[..., 0]
    if colours:
        return values
    raise MaskError(
        f"{path} holds colours; a mask needs one value a pixel: class indices, 0/255 or a palette. If each"
        " colour is a class, say which: palette=[[0,0,0],[255,0,0],...]"
    )


def _greys_of(palette: Sequence[Colour], values: NDArray[Any]) -> bool:
    """Whether all values are greys of a palette."""
    greys = [red for red, green, blue in palette if red == green == blue]
    return bool(greys) and bool(np.isin(values, greys).all())


def read_planes(path: str | os.PathLike[str], labels: Labels, *, scale: float = 1.0) -> NDArray[np.uint8]:
    """Read a stack of masks, one for each of classes that overlap, as ``(K, H, W)`` of 0, 1 and 255.

    Args:
        path: a TIFF with one page per class; an array ``(K, H, W)`` or ``(H, W, K)`` that numpy.save wrote;
            for three classes, also a picture with one channel per class; for one class, also a mask.
        labels: labels of the classes, which overlap.
        scale: factor for both sides; the new size is truncated.

    Raises:
        MaskError: the file cannot be read, or has another number of pages, planes or channels than there are
            classes.
    """
    path, count = Path(path), len(labels.classes)
    if (array := _stack(path, count)) is not None:
        return np.stack([present(_scaled(plane, scale), labels) for plane in array])
    pages = count_pages(path)
    if pages == count > 1:
        return np.stack([present(read_mask(path, scale=scale, page=page), labels) for page in range(count)])
    values = read_mask(path, scale=scale, colours=True)
    planes = np.moveaxis(values, -1, 0) if values.ndim == 3 else values[None]
    if pages != 1 or len(planes) != count:
        have = f"{pages} pages" if pages > 1 else "colours" if len(planes) > 1 else "one mask"
        raise MaskError(
            f"{path} has {have}, and {count} classes overlap: each needs a mask of its own, as a page, as a "
            "plane of an array (K, H, W) or as a file"
        )
    return np.stack([present(plane, labels) for plane in planes])


def read_layers(
    layers: Sequence[tuple[int, Path]], labels: Labels, *, scale: float = 1.0, pages: bool = False
) -> NDArray[np.uint8]:
    """Read masks of single classes that overlap as ``(K, H, W)`` of 0, 1 and 255; classes without one are 0.

    Args:
        layers: index of a class and its file; several files of one class are merged.
        labels: labels of the classes, which overlap.
        scale: factor for both sides; the new size is truncated.
        pages: whether the first layer is the first page of its file, the second the second, and so on.

    Raises:
        MaskError: a file cannot be read, or differs in size from the first.
    """
    planes: NDArray[np.uint8] | None = None
    for number, (index, path) in enumerate(layers):
        layer = present(read_mask(path, scale=scale, page=number if pages else None), labels)
        if planes is None:
            planes = np.zeros((len(labels.classes), *layer.shape), np.uint8)
        if layer.shape != planes.shape[1:]:
            first = layers[0][1]
            raise MaskError(f"{path} is {layer.shape}, and {first}, of the same image, {planes.shape[1:]}")
        np.maximum(planes[index], layer, out=planes[index])
    assert planes is not None
    return planes


def present(values: NDArray[Any], labels: Labels) -> NDArray[np.uint8]:
    """Return the mask of one of classes that overlap: 1 where values are not 0, 255 where ignored."""
    there = (values != 0).astype(np.uint8)
    if labels.ignore_index is not None:
        there[values == labels.ignore_index] = IGNORED
    return there


def _stack(path: Path, count: int) -> NDArray[Any] | None:
    """Return an array of masks with the classes first; ``None`` if the file is a picture."""
    try:
        with open_image(path) as image:
            if image.info.format not in ("numpy", "torch", "Zarr"):
                return None
            array = image.read()
    except ImageError as error:
        raise MaskError(str(error)) from error
    if len(array) != count and array.shape[2] == count:
        array = np.moveaxis(array, -1, 0)
    if len(array) != count:
        raise MaskError(
            f"{path} holds an array of {array.shape}; masks of the {count} classes that overlap are "
            f"({count}, H, W)"
        )
    return array


def _values(path: Path, scale: float, page: int | None) -> NDArray[Any]:
    """Return ``(H, W)``, or ``(H, W, 3)`` of a file of colours, without opacity."""
    with open_image(path) as image:
        values, info = turned(*read_stored(image, page, path))
    values = without_alpha(values, info)
    if values.shape[2] not in (1, 3):
        raise MaskError(f"{path} has {values.shape[2]} bands; a mask has one value a pixel, or a colour")
    values = values[..., 0] if values.shape[2] == 1 else values
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.dtype.kind == "f":
        values = _whole_numbers(values)
    return _scaled(values, scale)


def _whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return floats as integers if all are whole numbers; else unchanged, which `to_classes` refuses."""
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    return whole if np.array_equal(whole, values) else values


def _scaled(values: NDArray[Any], scale: float) -> NDArray[Any]:
    """Return a mask ``(H, W, ...)`` with both sides times ``scale``, of the nearest pixels."""
    if scale == 1:
        return values
    height, width = values.shape[:2]
    columns, rows = scaled_size(width, height, scale)
    return values[np.ix_(_nearest(height, rows), _nearest(width, columns))]


def _nearest(size: int, wanted: int) -> NDArray[np.intp]:
    return ((np.arange(wanted) + 0.5) * (size / wanted)).astype(np.intp)


def to_classes(
    values: NDArray[Any], labels: Labels, where: str, *, ignore_colour: Colour | None = None
) -> NDArray[Any]:
    """Map a mask's values to class indices; a two-class mask may also hold 0 and 255.

    Args:
        values: ``(H, W)``, or ``(H, W, 3)`` colours of ``labels.palette``, as `read_mask` gives them.
        labels: the classes, and the values that stand for them. Its ``ignore_index`` also stands for
            itself in files, unless it is the value of a class.
        where: names the file in errors.
        ignore_colour: the colour of pixels that count for nothing.

    Returns:
        ``(H, W)`` of ``labels.index_type``, in which pixels that count for nothing are
        ``labels.ignore_index``.

    Raises:
        MaskError: a value has no class; the message names the values and suggests a fix.
    """
    if values.ndim == 3:
        return _from_colours(values, labels, where, ignore_colour)
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    if not np.issubdtype(values.dtype, np.integer):
        raise MaskError(
            f"{where} holds {values.dtype} values; a mask needs integers: round them and save it as uint8"
        )
    if values.dtype != np.uint8:
        values = _narrow(values, where)
    meaning, ignored = _meaning(labels)
    classes = _looked_up(values, meaning, ignored, labels.index_type)
    if classes is None and not labels.values and len(labels.classes) == 2:
        classes = _looked_up(values, (0, 255), ignored, labels.index_type)
    if classes is None:
        raise MaskError(_strange(values, meaning, ignored, labels, where))
    return classes


def with_ignored(labels: Labels) -> Labels:
    """Return labels that have an ``ignore_index``: their own, or an index that no class has."""
    if labels.overlapping:  # whose masks say what is ignored by themselves
        return labels
    return labels if labels.ignore_index is not None else replace(labels, ignore_index=labels.unused_index)


def valid_pixels(sample: Sample) -> NDArray[np.bool_] | None:
    """Return ``(H, W)``, true where a pixel of a sample counts; ``None`` if all do.

    Pixels outside its field of view do not, nor do those without a measurement: NaN, or the value that the
    image's file declares for that.
    """
    gone = missing(np.atleast_3d(sample.image), None if sample.info is None else sample.info.nodata)
    if gone is None or sample.field_of_view is None:
        return sample.field_of_view if gone is None else ~gone
    return sample.field_of_view & ~gone


def counted(sample: Sample, labels: Labels) -> NDArray[Any]:
    """Return the mask of a sample with ``labels.ignore_index`` where pixels do not count.

    Where classes overlap, it is 255 there whatever ``ignore_index`` says of files.

    Raises:
        OptionError: there are such pixels (`valid_pixels`) and the labels have no ``ignore_index``.
    """
    valid = valid_pixels(sample)
    if valid is None:
        return sample.mask
    if labels.overlapping:
        return np.where(valid, sample.mask, np.uint8(IGNORED))
    if labels.ignore_index is None:
        reason = "pixels without a measurement" if sample.field_of_view is None else "a field of view"
        raise OptionError(
            f"{sample.name} has {reason}, so its labels need an ignore_index, such as {labels.unused_index}"
        )
    ignored = np.array(labels.ignore_index, labels.index_type)
    return np.where(valid, sample.mask, ignored)


def _meaning(labels: Labels) -> tuple[tuple[int, ...], int | None]:
    """Return the value of each class in files, and the one that is ignored."""
    meaning = tuple(labels.values) or tuple(range(len(labels.classes)))
    ignored = labels.ignore_index
    return meaning, None if labels.values and ignored in meaning else ignored


def _narrow(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Return integers in the narrowest type that a table exists for."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        raise MaskError(f"{where} holds values from {low} to {high}; a mask's lie in 0 to 65,535")
    return values.astype(np.uint8 if high < 256 else np.uint16)


def _looked_up(
    values: NDArray[Any], meaning: tuple[int, ...], ignored: int | None, kind: str
) -> NDArray[Any] | None:
    """Return the class of each value, or ``None`` if one stands for no class."""
    strange = _unused(len(meaning), ignored)
    if values.dtype == np.uint8 and strange < 256 and kind == "uint8":
        table = _table(256, meaning, ignored, strange).tobytes()
        # Several times as fast as indexing, which would first make each value a 64-bit index.
        classes = np.frombuffer(bytearray(values.tobytes()).translate(table), np.uint8).reshape(values.shape)
    else:
        classes = _table(1 << 16, meaning, ignored, strange)[values]
    return None if (classes == strange).any() else classes.astype(kind, copy=False)


@lru_cache(maxsize=64)
def _table(size: int, meaning: tuple[int, ...], ignored: int | None, strange: int) -> NDArray[Any]:
    table = np.full(size, strange, np.uint8 if max(strange, ignored or 0) < 256 else np.int32)
    if ignored is not None:
        table[ignored] = ignored
    for index, value in enumerate(meaning):
        if value < size and value != ignored:
            table[value] = index
    return table


def _unused(classes: int, ignored: int | None) -> int:
    """Return a number that is neither a class nor ignored: a byte where there is one."""
    for byte in range(255, classes - 1, -1):
        if byte != ignored:
            return byte
    # Beyond all that masks hold: `_table` has more than 16 bits.
    return 1 << 16


def _strange(
    values: NDArray[Any], meaning: tuple[int, ...], ignored: int | None, labels: Labels, where: str
) -> str:
    known = {*meaning, ignored}
    strange = [int(value) for value in np.unique(values) if int(value) not in known]
    shown = listed(strange)
    told = (
        f"{where} holds the values {shown}, which stand for none of the {len(labels.classes)} classes "
        f"{listed(labels.classes, 20)}; name more classes, say values=[...], the value of each, or "
        "ignore_index=N where such pixels count for nothing"
    )
    if len(strange) > 8:
        told += (
            ". So many are numbers of objects (instances=true), or come of blurred edges or of JPEG: "
            "`segzoo data check DIR` says which, and with --fix OUT repairs masks"
        )
    return told


def _from_colours(
    colours: NDArray[Any], labels: Labels, where: str, ignore_colour: Colour | None
) -> NDArray[Any]:
    if not labels.palette:
        raise MaskError(f"{where} holds colours: say which colour is which class: palette=[[0,0,0],...]")
    if ignore_colour is not None and labels.ignore_index is None:
        raise OptionError(f"an ignore_colour needs an ignore_index, such as {labels.unused_index}")
    strange = _unused(len(labels.classes), labels.ignore_index)
    palette = tuple(tuple(colour) for colour in labels.palette)
    table = _colour_table(palette, ignore_colour, labels.ignore_index, strange)
    codes = packed(colours)
    classes = table[codes]
    if (classes == strange).any():
        missing = np.unique(codes[classes == strange]).tolist()
        shown = listed(sorted([code & 255, code >> 8 & 255, code >> 16] for code in missing), 4)
        raise MaskError(
            f"{where} holds {len(missing)} colours that stand for none of the {len(palette)} classes: "
            f"{shown}. Add them to palette, or as ignore_colour; many that are nearly alike come of JPEG or "
            "of blurred edges"
        )
    return classes.astype(labels.index_type, copy=False)


@lru_cache(maxsize=2)
def _colour_table(
    palette: tuple[Colour, ...], ignored: Colour | None, ignore_index: int | None, strange: int
) -> NDArray[Any]:
    """Return the class of every colour: 16 MB or more, since a search among the colours is slower."""
    table = np.full(1 << 24, strange, np.uint8 if max(strange, ignore_index or 0) < 256 else np.int32)
    if ignored is not None and ignore_index is not None:
        table[colour_number(ignored)] = ignore_index
    for index, colour in enumerate(palette):
        table[colour_number(colour)] = index
    return table


def packed(colours: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers that colours ``(..., 3)`` stand for: ``red + 256 * green + 65536 * blue``."""
    wide = colours.astype(np.int64)
    return wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16


def colour_number(colour: Colour) -> int:
    """Return the number that a colour stands for, as `packed` does."""
    red, green, blue = colour
    return red | green << 8 | blue << 16


# Foreground and background.


def foreground(mask: NDArray[Any], labels: Labels) -> NDArray[np.bool_]:
    """Return where a mask has a foreground class, ``(H, W)``: everywhere if there is no background class.

    Args:
        mask: ``(H, W)`` class indices; or ``(K, H, W)`` if classes overlap, where any class is foreground.
        labels: labels of the mask.
    """
    if labels.overlapping:
        return (mask == 1).any(axis=0)
    return np.ones(mask.shape, bool) if labels.background is None else mask != labels.background


def with_background(labels: Labels) -> Labels:
    """Return labels that have a background: the same, or with one more class ``other`` if they have none."""
    if labels.background is not None:
        return labels
    count, name = len(labels.classes), "other"
    while name in labels.classes:
        name = f"any {name}"
    values = labels.values and (*labels.values, min({*range(count + 1)} - {*labels.values}))
    return replace(
        labels,
        classes=(*labels.classes, name),
        palette=(*labels.colours, (0, 0, 0)),
        values=values,
        ignore_index=None,
        background=count,
    )


# Classes that overlap, where a pixel must have one value: each combination of classes is one.

#: Combinations that codes are counted for at once; more are first reduced to those that occur.
_MOST_CODES = 1 << 20


def alone(labels: Labels, index: int) -> Labels:
    """Return labels for one of several overlapping classes: that class and background.

    Args:
        labels: labels of all classes.
        index: index of the class to keep.
    """
    name = labels.classes[index]
    rest = "background" if name != "background" else "other"
    return Labels(classes=(rest, name), palette=((0, 0, 0), labels.colours[index]))


def flattened(planes: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return a mask of classes that overlap as one index a pixel, by which steps for such masks can move it.

    Args:
        planes: ``(K, H, W)``: 1 where a class is, 0 where not, 255 where nothing counts.

    Returns:
        Indices ``(H, W)``, uint8 or uint16, and what each stands for, ``(combinations, K)``: index 0 for no
        class, the last one for pixels that count for none. ``table.T[:, indices]`` is the mask again.

    Raises:
        OptionError: more combinations of classes occur than 16 bits can number.
    """
    codes = np.zeros(planes.shape[1:], np.int32)
    table = np.zeros((1, 0), np.uint8)
    states = np.array([0, 1, IGNORED], np.uint8)
    for plane in planes:
        codes = codes * 3 + np.minimum(plane, 2)
        table = np.concatenate([np.repeat(table, 3, axis=0), np.tile(states, len(table))[:, None]], axis=1)
        if len(table) * 3 > _MOST_CODES:
            codes, table = _occurring(codes, table)
    codes, table = _occurring(codes, table)
    if len(table) > 1 << 16:
        raise OptionError(
            f"{len(table):,} combinations of classes occur in one mask; 65,536 are the most that can be told"
        )
    return codes.astype(np.uint8 if len(table) <= 256 else np.uint16), table


def _occurring(codes: NDArray[Any], table: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return codes without those that no pixel has; the first and the last stay."""
    occurs = np.bincount(codes.ravel(), minlength=len(table)) > 0
    occurs[[0, -1]] = True
    return (np.cumsum(occurs, dtype=np.int32) - 1)[codes], table[occurs]


# Classes as people name them: by name, or by index.


def class_index(labels: Labels, wanted: str | int) -> int:
    """Return the index of a class that is given by its name, or by its index, also as text.

    Raises:
        OptionError: there is no such class.
    """
    classes = labels.classes
    if isinstance(wanted, str) and wanted in classes:
        return classes.index(wanted)
    try:
        index = int(wanted) if isinstance(wanted, str | int) else -1
    except ValueError:
        index = -1
    if 0 <= index < len(classes):
        return index
    shown = listed(classes, 12)
    close = did_you_mean(str(wanted)[:99], classes) or ";"
    raise OptionError(f"there is no class {short(wanted)}{close} the {len(classes)} classes are {shown}")


#: Letters of the name of a class in that of a file.
_LONGEST_WORD = 60


def file_words(labels: Labels) -> list[str]:
    """Return a word for each class in file names: its name without characters that they cannot hold."""
    words = [re.sub(r"[^\w-]+", "_", name)[:_LONGEST_WORD] for name in labels.classes]
    times = Counter(word.lower() for word in words)
    # Two names may differ in what was left out, or in capitals, which not all file systems tell apart.
    return [word if times[word.lower()] == 1 else f"{word}_{index}" for index, word in enumerate(words)]


def background_name(labels: Labels) -> str:
    """Return what the background is called; empty if every class is something."""
    return "" if labels.background is None else labels.classes[labels.background]


def background_index(labels: Labels, told: str | int | None) -> int | None:
    """Return the index of the background that is given by its name or index; ``None`` or ``"none"`` for none.

    Raises:
        OptionError: there is no such class.
    """
    if told is None or (isinstance(told, str) and told.lower() == "none" and told not in labels.classes):
        return None
    if isinstance(told, bool):
        raise OptionError(f"background must be the name or the index of a class, or none, got {told}")
    try:
        return class_index(labels, told)
    except OptionError as error:
        raise OptionError(f"background: {error}, or none") from error


def named_labels(
    names: Sequence[str], background: str | int | None, *, ignore_index: int | None = None
) -> Labels:
    """Return labels of names and of a background as a person says it; the first class if it is empty."""
    labels = Labels(classes=tuple(names), ignore_index=ignore_index)
    return replace(labels, background=background_index(labels, background)) if background else labels


#: Classes that a line names.
_NAMED = 24


def found_in_words(shares: Mapping[str, float], labels: Labels) -> str:
    """Return which classes other than the background were found, and what share of the picture each covers.

    If there are very many, only the largest are named.
    """
    names = [name for index in labels.foreground if shares.get(name := labels.classes[index])]
    most = set(sorted(names, key=lambda name: -shares[name])[:_NAMED])
    told = [f"{name} {shares[name]:.1%}" for name in names if name in most]
    told += [f"and {len(names) - _NAMED:,} more"] if len(names) > _NAMED else []
    return ", ".join(told) or ("nothing" if labels.overlapping else "background only")
