"""Masks that number objects: each number is one object, of the one class or of the class that a table says.

Such masks come from cellpose, StarDist, ImageJ, scikit-image and most annotation programs. A sample has both:
``mask`` says the class of each pixel, ``instances`` which object it belongs to.

A table is a mapping, or a CSV file with the columns ``number`` and ``class``, and ``image`` where a number is
another class in another image. A number may be a range, and of several rows that fit, the last counts::

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
#: Numbers below this are looked up in an array of them all; others are gathered first.
_DENSE = 1 << 20
_UNKNOWN, _NOTHING = -1, -2
_EXAMPLE = '{"1-99": "cell", "100-199": "debris"}'


@dataclass(frozen=True)
class Row:
    """The class of a range of numbers.

    Attributes:
        first: of the numbers.
        last: of the numbers.
        word: the class by name or index, or one of `IGNORED`.
        image: the only image that it is about, as the table calls it; all images where empty.
    """

    first: int
    last: int
    word: str | int
    image: str = ""


@dataclass(frozen=True)
class NumberedObjects:
    """How numbers in masks become classes and objects.

    Attributes:
        labels: the classes.
        rows: ``(first number, last number, class)`` for all images; class ``None`` counts for nothing.
        of_image: the same for single images, which follow those for all.
        source: the file of the table, if it is one.
        ignore_colour: the colour of pixels that count for nothing, in masks that are pictures in colours.
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
            values: ``(H, W)`` whole numbers of any type; or ``(H, W, 3)`` colours, whose number is
                ``red + 256 * green + 65536 * blue``, as in COCO's panoptic masks.
            names: what a table may call the image.
            where: names the file in errors.

        Returns:
            ``(H, W)`` class indices of the labels' ``index_type``, and ``(H, W)`` numbers, uint16 or int32,
            which are 0 for the background and where nothing counts. Numbers beyond 31 bits are given anew.

        Raises:
            MaskError: numbers are not whole, or have no class; the text says which.
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
                f"{where} holds numbers up to {numbers.max():,}, {ignored} among them: whether that is an "
                "object or what is ignored cannot be known. Leave out ignore_index, or say which numbers are "
                f'objects: instances={{"1-{numbers.max()}": {self.labels.classes[-1]!r}}}'
            )
        if not (found == _UNKNOWN).any():
            return
        strange = np.unique(numbers[found == _UNKNOWN]).tolist()
        told = listed(strange)
        if strange[0] < 0:
            advice = "objects are numbered from 1; negative numbers are ignored where ignore_index is said"
        elif strange[0] == 0:
            advice = "no class is the background, so the table needs a row for 0 too"
        else:
            table = self.source or "the table"
            advice = f"add them to {table}, with the class 'ignore' where they are to count for nothing"
        raise MaskError(f"{where} holds the numbers {told}, which are of no class: {advice}")


def numbered_objects(
    told: bool | str | Mapping[str, str | int],
    labels: Labels,
    rows: Sequence[Row],
    *,
    source: Path | None = None,
    ignore_colour: Colour | None = None,
) -> NumberedObjects:
    """Return how numbers in masks become classes and objects.

    Args:
        told: ``True`` where all are of the one class; else ``rows`` say it.
        labels: the classes.
        rows: as `read_rows` gives them.
        source: the file that they are from.
        ignore_colour: as in `NumberedObjects`.

    Raises:
        OptionError: there are several classes and no rows, or a row names no class of the labels.
    """
    if told is True:
        if len(labels.classes) != 2 or labels.background is None:
            names = listed(labels.classes)
            raise OptionError(
                f"instances=true is for one class beside a background; the classes are {names}. Say "
                f"which numbers are which class: instances={_EXAMPLE}, or a CSV file with the columns "
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


def read_rows(told: bool | str | Mapping[str, str | int], root: Path) -> tuple[list[Row], Path | None]:
    """Return the rows of a table, and the file that they are from.

    Args:
        told: ``True`` for none; a mapping from number or range to class; or a CSV file, below ``root`` or
            where the person is.
        root: of the data.

    Raises:
        OptionError: it is none of these, or says nothing.
        FailureError: the file cannot be read, or lacks a column; the text says which line.
    """
    if told is True:
        return [], None
    if isinstance(told, Mapping) and told:
        return [_row(str(key), word, f"instances, {key!r}") for key, word in told.items()], None
    if not isinstance(told, str) or not told.strip():
        raise OptionError(
            f"instances must be true, a table such as {_EXAMPLE}, or a CSV file, got {shown(told)}"
        )
    folder = root if root.is_dir() else root.parent
    path = folder / told if (folder / told).is_file() else Path(told)
    try:
        return list(_csv_rows(path)), path
    except OSError as error:
        raise FailureError(
            f"instances: {told} cannot be read: {error.strerror or error}. Say true where all objects are of "
            f"one class, else a CSV file or a table such as {_EXAMPLE}"
        ) from error
    except csv.Error as error:
        raise FailureError(f"instances: {path} is no CSV file: {error}") from error


def class_names(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the classes that a table names, in the order in which it does, after the background."""
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
                f"instances says {word!r}, which needs an ignore_index, such as {labels.unused_index}"
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
                f"{where} holds {values[~whole][0]}: objects are numbered by whole numbers. A map of "
                "probabilities or distances is no mask: save the label image instead"
            )
    elif values.dtype.kind not in "iub":
        raise MaskError(f"{where} holds {values.dtype} values: objects are numbered by whole numbers")
    elif values.dtype == np.uint64 and values.max(initial=0) > _MOST:
        raise MaskError(f"{where} holds the number {values.max()}; {_MOST:,} is the largest")
    return values.astype(np.int64)


def narrowed(objects: NDArray[np.int64]) -> NDArray[Any]:
    """Return numbers of objects as uint16 or int32; where one needs more than 31 bits, all are given anew."""
    high = int(objects.max(initial=0))
    if high > np.iinfo(np.int32).max:
        objects = np.unique(np.append(0, objects), return_inverse=True)[1][1:].reshape(objects.shape)
        high = int(objects.max(initial=0))
    return objects.astype(np.uint16 if high <= 0xFFFF else np.int32)
