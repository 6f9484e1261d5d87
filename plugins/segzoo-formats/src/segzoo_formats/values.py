"""Masks whose values are numbers of classes that a file names: which class each value is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.datasets import Pairs, as_names, class_labels
from segzoo.errors import FailureError
from segzoo.specs import Labels
from segzoo_formats.labelmap import BACKGROUND
from segzoo_formats.lookup import Lookup
from segzoo_formats.search import name_remarks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from segzoo.datasets import Pair
    from segzoo.interfaces import Remark


def valued_pairs(
    pairs: Iterable[Pair],
    names: Mapping[int, str],
    classes: Sequence[str] | str = (),
    *,
    source: object,
    values: Mapping[int, int] | None = None,
    ignored: Collection[int] = (),
    scale: float = 1.0,
    remarks: Sequence[Remark] = (),
) -> Pairs:
    """Return images with masks of such values.

    Args:
        pairs: the files.
        names: names of the classes, by number. A class with the name background is the background; without
            one, none of them is the background.
        classes: classes to use, in this order; others become background. Empty for all.
        source: file that names the classes, for error messages.
        values: the number of the class that each value in masks stands for; by default, the number itself.
        ignored: values in masks that are ignored.
        scale: factor for both sides of images while files are decoded, at most 1.
        remarks: further remarks for the person.

    Raises:
        FailureError: two classes have one name.
        OptionError: a class that is wanted is not there.
    """
    lookup = class_lookup(names, classes, source=source, values=values, ignored=ignored)
    labels = lookup.labels
    # If the labels describe all values, masks are decoded by them, as other readers of the files can do.
    decode = None if not classes and len(names) > 1 and values is None and len(ignored) < 2 else lookup
    remarks = (*remarks, *name_remarks(distinct(names, source).values()))
    return Pairs(pairs, labels, scale=scale, decode=decode, remarks=remarks)


def class_lookup(
    names: Mapping[int, str],
    classes: Sequence[str] | str = (),
    *,
    source: object,
    values: Mapping[int, int] | None = None,
    ignored: Collection[int] = (),
) -> Lookup:
    """Return what decodes masks of such values; arguments and errors are those of `valued_pairs`."""
    names = distinct(names, source)
    numbers = sorted(names)
    background = next((number for number in numbers if names[number].lower() in BACKGROUND), None)
    if not classes and len(names) > 1:
        labels = Labels(
            classes=tuple(names[number] for number in numbers),
            values=() if numbers == list(range(len(numbers))) else tuple(numbers),
            ignore_index=_index(len(numbers), ignored),
            background=None if background is None else numbers.index(background),
        )
        index = {number: place for place, number in enumerate(numbers)}
    else:
        found = [names[number] for number in numbers if number != background]
        wanted = [name for name in as_names(classes) if background is None or name != names[background]]
        labels = class_labels(found, wanted, source=source)
        index = {
            number: labels.classes.index(name) if name in labels.classes and number != background else 0
            for number, name in names.items()
        }
    table: dict[int, int | None] = {
        value: index[number] for value, number in (values or {n: n for n in numbers}).items()
    }
    return Lookup(labels, table | dict.fromkeys(ignored), str(source))


def readable(text: str) -> str:
    """Return a text of `segzoo.files.read_words` for people: what is not UTF-8 was written by old Windows."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which JSON can hold
        data = text.encode("utf-8", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def distinct(names: Mapping[int, str], source: object) -> dict[int, str]:
    """Return names by number, without blanks around them.

    Raises:
        FailureError: two are the same, or one is empty.
    """
    names = {number: readable(name) for number, name in names.items()}
    first: dict[str, int] = {}
    for number, name in names.items():
        if not name.strip():
            raise FailureError(f"{source}: class {number} has no name")
        if first.setdefault(name.strip(), number) != number:
            both = f"{first[name.strip()]} and {number}"
            raise FailureError(f"{source}: classes {both} are both called {name.strip()!r}: rename one")
    return {number: name.strip() for number, name in names.items()}


def _index(count: int, ignored: Collection[int]) -> int | None:
    """Return the index of what is ignored: its own value, where that can be one."""
    if not ignored:
        return None
    (first, *others), most = sorted(ignored), 255 if count <= 255 else 65_535
    return first if count <= first <= most and not others else most
