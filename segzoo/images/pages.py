"""Which pages of images with several are taken: slices of a volume, time points, pages of a TIFF."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from segzoo.errors import ImageError, OptionError
from segzoo.options import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Spans of pages from 0, the last one included; ``None`` ends a span at the last page there is.
Pages = tuple[tuple[int, int | None], ...]

_SPAN = re.compile(r"(\d{1,9})(?:(-)(\d{1,9})?)?")


def parse_pages(text: str | int | Iterable[int]) -> Pages:
    """Return the spans of pages that a text such as ``"0,3-5,10-"`` or a list of numbers names.

    Args:
        text: pages from 0 and spans of them, separated by commas; ``"all"`` or nothing takes all.

    Raises:
        OptionError: it names no page, or a span ends before it begins.
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
            raise OptionError(f"pages are numbers from 0 and spans such as 0,3-5 or 10-, got {shown(text)}")
        last = (int(found[3]) if found[3] else None) if found[2] else int(found[1])
        spans.append((int(found[1]), last))
    return tuple(spans)


def chosen_pages(pages: Pages, count: int, name: object) -> list[int]:
    """Return which pages of an image are taken, in the order in which they were named, each once.

    Args:
        pages: what `parse_pages` returned; without any, all are taken.
        count: how many the image has.
        name: of the image, for errors.

    Raises:
        ImageError: the image lacks one of them.
    """
    taken: dict[int, None] = {}
    for first, last in pages or ((0, None),):
        missing = first if last is None else last
        if missing >= count:
            raise ImageError(f"{name} has no page {missing}: it has {count}, from 0 to {count - 1}")
        taken |= dict.fromkeys(range(first, count if last is None else last + 1))
    return list(taken)
