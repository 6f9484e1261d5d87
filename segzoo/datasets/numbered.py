"""Masks with numbered objects: each number is one object, of the only class or of the class in a table.

Such masks come from cellpose, StarDist, ImageJ, scikit-image and most annotation programs. A sample has both:
``mask`` holds the class of each pixel, ``instances`` its object.

A table is a mapping, or a CSV file with the columns ``number`` and ``class``, and ``image`` if a number has
different classes in different images. A number may be a range; if several rows match, the last one counts::

    number,class            image,number,class          {"24000-24999" = "person", "26000-26999" = "car"}
    1-99,cell               a.png,1,cell
    100-199,debris          a.png,2,debris
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.files import lines_of, read_words
from segzoo.labels import class_index, colour_number, packed
from segzoo.options import listed, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from segzoo.labels import Colour
    from segzoo.specs import Labels

#: Words of a table for ignored pixels, unless a class has that name.
IGNORED = ("ignore", "void")
_COLUMNS = {
    "number": ("number", "label", "id", "value"),
    "class": ("class", "category"),
    "image": ("image", "name", "file"),
}
_MOST = 1 << 62
#: Numbers below this are looked up in an array; otherwise the numbers that occur are collected first.
_DENSE = 1 << 20
_UNKNOWN, _NOTHING = -1, -2
_EXAMPLE = '{"1-99": "cell", "100-199": "debris"}'


@dataclass(frozen=True)
class Row:
    """The class of a range of numbers.

    Attributes:
        first: first number of the range.
        last: last number of the range.
        word: the class by name or index, or one of `IGNORED`.
        image: the only image that it applies to, as named in the table; all images if empty.
    """

    first: int
    last: int
    word: str | int
    image: str = ""


@dataclass(frozen=True)
class NumberedObjects:
    """Converts numbers in masks to classes and objects.

    Attributes:
        labels: the classes.
        rows: ``(first number, last number, class)`` for all images; class ``None`` is ignored.
        of_image: the same for single images, which follow the rows for all images.
        source: the file of the table, if it is one.
        ignore_colour: the colour of ignored pixels in colour masks.
    """

    labels: Labels
    rows: tuple[tuple[int, int, int | None], ...]
    of_image: Mapping[str, tuple[tuple[int, int, int | None], ...]] = field(default_factory=dict)
    source: Path | None = None
    ignore_colour: Colour | None = None

    def split(
        self, values: NDArray[Any], names: Sequence[str], where: str
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return class indices and objects of a mask.

        Args:
            values: ``(H, W)`` integers of any type; or ``(H, W, 3)`` colours, whose number is
                ``red + 256 * green + 65536 * blue``, as in COCO's panoptic masks.
            names: possible names of the image in a table.
            where: name of the file, for error messages.

        Returns:
            ``(H, W)`` class indices of the labels' ``index_type``, and ``(H, W)`` numbers, uint16 or int32,
            which are 0 for background and ignored pixels. Numbers beyond 31 bits are replaced by new ones.

        Raises:
            MaskError: numbers are not integers, or have no class; the message says which.
        """
        numbers = _whole(values, where)
        rows = [*self.rows, *(row for name in names for row in self.of_image.get(name, ()))]
        high = int(numbers.max(initial=0))
        if high < _DENSE and int(numbers.min(initial=0)) >= 0:
            keys, places = np.arange(high + 1), numbers
        else:
            keys, places = np.unique(numbers, return_inverse=True)
            places = places.reshape(numbers.shape)
        ignored = self._ignored(rows, colours=values.ndim == 3)
        found = self._classes(keys, rows, ignored)[places]
        self._check(numbers, found, ignored, where)
        objects = np.where((found == _NOTHING) | (found == self.labels.background), 0, numbers)
        ignore = self.labels.ignore_index
        if ignore is not None:
            found = np.where(found == _NOTHING, ignore, found)
        return found.astype(self.labels.index_type), narrowed(objects)

    def _ignored(self, rows: Sequence[tuple[int, int, int | None]], *, colours: bool) -> int | None:
        """Return the number of ignored pixels, unless the table gives it a class."""
        if colours:
            return None if self.ignore_colour is None else colour_number(self.ignore_colour)
        index = self.labels.ignore_index
        if index is None or any(first <= index <= last < _MOST for first, last, _ in rows):
            return None
        return index

    def _classes(
        self, keys: NDArray[np.int64], rows: Sequence[tuple[int, int, int | None]], ignored: int | None
    ) -> NDArray[np.int32]:
        classes = np.full(keys.shape, _UNKNOWN, np.int32)
        if self.labels.background is not None:
            classes[keys == 0] = self.labels.background
        if self.labels.ignore_index is not None:
            classes[keys < 0] = _NOTHING
        for first, last, index in rows:
            classes[(keys >= first) & (keys <= last)] = _NOTHING if index is None else index
        if ignored is not None:
            classes[keys == ignored] = _NOTHING
        return classes

    def _check(
        self, numbers: NDArray[np.int64], found: NDArray[np.int32], ignored: int | None, where: str
    ) -> None:
        if ignored is not None and numbers.max(initial=0) > ignored and (numbers == ignored).any():
            raise MaskError(
                f"{where} holds numbers up to {numbers.max():,}, including {ignored}: it is not clear "
                "whether that is an object or ignored. Leave out ignore_index, or set which numbers are "
                f'objects: instances={{"1-{numbers.max()}": {self.labels.classes[-1]!r}}}'
            )
        if not (found == _UNKNOWN).any():
            return
        strange = np.unique(numbers[found == _UNKNOWN]).tolist()
        told = listed(strange)
        if strange[0] < 0:
            advice = "objects are numbered from 1; negative numbers are ignored if ignore_index is set"
        elif strange[0] == 0:
            advice = "no class is the background, so the table needs a row for 0 too"
        else:
            table = self.source or "the table"
            advice = f"add them to {table}, with the class 'ignore' if they are to be ignored"
        raise MaskError(f"{where} holds the numbers {told}, which have no class: {advice}")


def numbered_objects(
    instances: bool | str | Mapping[str, str | int],
    labels: Labels,
    rows: Sequence[Row],
    *,
    source: Path | None = None,
    ignore_colour: Colour | None = None,
) -> NumberedObjects:
    """Return the conversion of numbers in masks to classes and objects.

    Args:
        instances: ``True`` if all are of one class; else ``rows`` define the classes.
        labels: the classes.
        rows: result of `read_rows`.
        source: the file that they are from.
        ignore_colour: see `NumberedObjects`.

    Raises:
        OptionError: there are several classes and no rows, or a row's class is not in the labels.
    """
    if instances is True:
        if len(labels.classes) != 2 or labels.background is None:
            names = listed(labels.classes)
            raise OptionError(
                f"instances=true is for one class and a background, but the classes are {names}. Set "
                f"the class of each number: instances={_EXAMPLE}, or a CSV file with the columns "
                "number and class"
            )
        return NumberedObjects(labels, ((1, _MOST, labels.foreground[0]),), ignore_colour=ignore_colour)
    shared: list[tuple[int, int, int | None]] = []
    of_image: dict[str, list[tuple[int, int, int | None]]] = {}
    for row in rows:
        one = row.first, row.last, _class(row.word, labels)
        (of_image.setdefault(row.image, []) if row.image else shared).append(one)
    single = {name: tuple(entries) for name, entries in of_image.items()}
    return NumberedObjects(labels, tuple(shared), single, source, ignore_colour)


def read_rows(instances: bool | str | Mapping[str, str | int], root: Path) -> tuple[list[Row], Path | None]:
    """Return the rows of a table, and the file that they are from.

    Args:
        instances: ``True`` for no table; a mapping from number or range to class; or a CSV file, in ``root``
            or in the current folder.
        root: root of the data.

    Raises:
        OptionError: it is none of these, or empty.
        FailureError: the file cannot be read, or lacks a column; the message names the line.
    """
    if instances is True:
        return [], None
    if isinstance(instances, Mapping) and instances:
        return [_row(str(key), word, f"instances, {key!r}") for key, word in instances.items()], None
    if not isinstance(instances, str) or not instances.strip():
        raise OptionError(
            f"instances must be true, a table such as {_EXAMPLE}, or a CSV file, got {shown(instances)}"
        )
    folder = root if root.is_dir() else root.parent
    path = folder / instances if (folder / instances).is_file() else Path(instances)
    try:
        return list(_csv_rows(path)), path
    except OSError as error:
        raise FailureError(
            f"instances: {instances} cannot be read: {error.strerror or error}. Use true if all objects "
            f"have one class, else a CSV file or a table such as {_EXAMPLE}"
        ) from error
    except csv.Error as error:
        raise FailureError(f"instances: {path} is not a CSV file: {error}") from error


def class_names(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the classes that a table names, in order of appearance, after the background."""
    words = [row.word for row in rows if row.word not in IGNORED]
    if not words or any(isinstance(word, int) or word.isdecimal() for word in words):
        return ("background", "foreground")
    return tuple(dict.fromkeys(("background", *map(str, words))))


def _csv_rows(path: Path) -> Iterable[Row]:
    text = read_words(path)
    lines = lines_of(text)
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = {name.strip().lstrip("\ufeff").lower(): name for name in reader.fieldnames or ()}
    chosen = {
        column: next((columns[word] for word in words if word in columns), "")
        for column, words in _COLUMNS.items()
    }
    if not chosen["number"] or not chosen["class"]:
        raise FailureError(
            f"instances: the first line of {path} must name the columns number and class, and may name image;"
            f" it is {lines[:1]}"
        )
    for entry in reader:
        where = f"{path}, line {reader.line_num}"
        number, word, image = ((entry.get(chosen[key]) or "").strip() for key in ("number", "class", "image"))
        yield _row(number, word, where, image.replace("\\", "/"))


def _row(number: str, word: str | int, where: str, image: str = "") -> Row:
    found = re.fullmatch(r"\s*(\d+)\s*(?:(?:-|:|\.\.|to)\s*(\d+)\s*)?", number)
    if found is None or len(number) > 40:
        raise OptionError(f"{where}: {shown(number)} is neither a number nor a range such as 1-99")
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last <= _MOST:
        raise OptionError(f"{where}: the range {number} ends before it begins, or beyond {_MOST:,}")
    if isinstance(word, bool) or not isinstance(word, str | int) or word == "":
        raise OptionError(f"{where}: the class must be a name, an index or 'ignore', got {shown(word)}")
    return Row(first, last, word, image)


def _class(word: str | int, labels: Labels) -> int | None:
    if word in IGNORED and word not in labels.classes:
        if labels.ignore_index is None:
            raise OptionError(
                f"instances contains {word!r}, which needs an ignore_index, such as {labels.unused_index}"
            )
        return None
    return class_index(labels, word)


def _whole(values: NDArray[Any], where: str) -> NDArray[np.int64]:
    if values.ndim == 3:
        return packed(values)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(values) & (values == np.floor(values)) & (abs(values) < _MOST)
        if not whole.all():
            raise MaskError(
                f"{where} holds {values[~whole][0]}, but object numbers are integers. A map of "
                "probabilities or distances is not a mask: save the label image instead"
            )
    elif values.dtype.kind not in "iub":
        raise MaskError(f"{where} holds {values.dtype} values, but object numbers are integers")
    elif values.dtype == np.uint64 and values.max(initial=0) > _MOST:
        raise MaskError(f"{where} holds the number {values.max()}; the maximum is {_MOST:,}")
    return values.astype(np.int64)


def narrowed(objects: NDArray[np.int64]) -> NDArray[Any]:
    """Return object numbers as uint16 or int32; if one needs more than 31 bits, all are renumbered."""
    high = int(objects.max(initial=0))
    if high > np.iinfo(np.int32).max:
        objects = np.unique(np.append(0, objects), return_inverse=True)[1][1:].reshape(objects.shape)
        high = int(objects.max(initial=0))
    return objects.astype(np.uint16 if high <= 0xFFFF else np.int32)
