"""Which pages of a file are used: slices of a volume, time points, pages of a TIFF."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from segzoo.errors import ImageError, OptionError
from segzoo.options import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Ranges of pages from 0, including the last; ``None`` ends a range at the last page.
Pages = tuple[tuple[int, int | None], ...]

_SPAN = re.compile(r"(\d{1,9})(?:(-)(\d{1,9})?)?")


def parse_pages(text: str | int | Iterable[int]) -> Pages:
    """Return the ranges of pages in a text such as ``"0,3-5,10-"`` or a list of numbers.

    Args:
        text: pages from 0 and ranges, separated by commas; ``"all"`` or an empty text for all.

    Raises:
        OptionError: it names no page, or a range ends before it begins.
    """
    if isinstance(text, str):
        words = [word.strip() for word in text.split(",")]
    else:
        words = [str(page) for page in ([text] if isinstance(text, int) else text)]
    if words in ([], [""], ["all"]):
        return ()
    spans: list[tuple[int, int | None]] = []
    for word in words:
        found = _SPAN.fullmatch(word)
        if not found or (found[3] and int(found[3]) < int(found[1])):
            raise OptionError(f"pages are numbers from 0 and ranges such as 0,3-5 or 10-, got {shown(text)}")
        last = (int(found[3]) if found[3] else None) if found[2] else int(found[1])
        spans.append((int(found[1]), last))
    return tuple(spans)


def chosen_pages(pages: Pages, count: int, name: object) -> list[int]:
    """Return the pages of an image that are used, in the order given, without duplicates.

    Args:
        pages: ranges from `parse_pages`; all pages if empty.
        count: number of pages of the image.
        name: name of the image, for errors.

    Raises:
        ImageError: the image does not have one of the pages.
    """
    taken: dict[int, None] = {}
    for first, last in pages or ((0, None),):
        missing = first if last is None else last
        if missing >= count:
            raise ImageError(f"{name} has no page {missing}: it has {count}, from 0 to {count - 1}")
        taken |= dict.fromkeys(range(first, count if last is None else last + 1))
    return list(taken)
