"""Masks whose values are numbers of classes that a file names: which class each value is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets import Pairs, class_labels
from segzoo.errors import FailureError, MaskError
from segzoo.options import listed
from segzoo.specs import Labels
from segzoo_formats.labelmap import BACKGROUND
from segzoo_formats.search import name_remarks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

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
        names: of the classes, by number. One that is called background is that; without it, every class is
            something.
        classes: those that are wanted, in this order; others become background. All where empty.
        source: the file that names them, for errors.
        values: the number of the class that each value in masks stands for; by default, the number itself.
        ignored: values in masks that count for nothing.
        scale: what both sides are multiplied by while files are decoded, at most 1.
        remarks: what else the person should know.

    Raises:
        FailureError: two classes have one name.
        OptionError: a class that is wanted is not there.
    """
    names = distinct(names, source)
    remarks = (*remarks, *name_remarks(names.values()))
    numbers = sorted(names)
    background = next((number for number in numbers if names[number].lower() in BACKGROUND), None)
    if not classes and len(names) > 1:
        labels = Labels(
            classes=tuple(names[number] for number in numbers),
            values=() if numbers == list(range(len(numbers))) else tuple(numbers),
            ignore_index=_index(len(numbers), ignored),
            background=None if background is None else numbers.index(background),
        )
        if values is None and len(ignored) < 2:
            return Pairs(pairs, labels, scale=scale, remarks=remarks)
        index = {number: place for place, number in enumerate(numbers)}
    else:
        found = [names[number] for number in numbers if number != background]
        labels = class_labels(found, classes, source=source)
        index = {
            number: labels.classes.index(name) if name in labels.classes and number != background else 0
            for number, name in names.items()
        }
    table = {value: index[number] for value, number in (values or {n: n for n in numbers}).items()}
    table |= dict.fromkeys(ignored, labels.ignore_index or 0)
    decode = partial(_looked_up, table, str(source))
    return Pairs(pairs, labels, scale=scale, decode=decode, remarks=remarks)


def distinct(names: Mapping[int, str], source: object) -> dict[int, str]:
    """Return names by number, without blanks around them.

    Raises:
        FailureError: two are the same, or one is empty.
    """
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


def _looked_up(table: Mapping[int, int], source: str, values: NDArray[Any], where: str) -> NDArray[Any]:
    if values.ndim != 2:
        raise MaskError(f"{where} holds colours; {source} names the classes of numbers, one value a pixel")
    found = np.unique(values)
    strange = [value for value in found.tolist() if value not in table]
    if strange:
        raise MaskError(f"{where} holds the values {listed(strange)}, which {source} does not name: add them")
    indices = np.array([table[value] for value in found.tolist()])
    kind = np.uint8 if max(table.values()) < 256 else np.uint16
    return indices.astype(kind)[np.searchsorted(found, values)]
