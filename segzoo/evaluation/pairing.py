"""Pair predictions with ground truth: files match by name, or an error lists those left over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from segzoo.datasets.matching import by_name
from segzoo.errors import FailureError, ImageError, MissingExtraError
from segzoo.images import count_pages, may_have_pages, readable_suffixes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

_WORDS = (
    "ground[_-]?truth|gt|truth|true|annotations?|labels?|masks?|seg|segmentations?|manual"
    "|predictions?|predicted|pred|outputs?|out|results?|objects?|instances?"
)
#: Words that programs add before or after an image's name: ``prediction_000001.npy``, ``cat_mask.png``.
_AFFIX = re.compile(rf"^(?:{_WORDS})[_.-](?=.)|(?<=.)[_.-](?:{_WORDS})$", re.IGNORECASE)

_SHOWN = 8


class MaskFile(NamedTuple):
    """A mask file, or one page of it.

    Attributes:
        path: the file.
        page: page from 0, for a file with several.
    """

    path: Path
    page: int | None = None


def masks_in(folder: Path) -> dict[str, MaskFile]:
    """Return the masks in a folder and its subfolders, by path without suffix.

    Overlays that ``segzoo predict`` wrote next to its masks are left out. Each page of a stack or volume is a
    separate mask, named as in datasets: page 3 of ``head_mask.nii.gz`` is ``head/0003``.

    Raises:
        FailureError: the folder does not exist or contains no mask, or two files have the same name.
    """
    if not folder.is_dir():
        raise FailureError(f"there is no folder {folder}")
    found = by_name(folder)
    overlays = [n for n in found if n.endswith("_overlay") and f"{n.removesuffix('_overlay')}_mask" in found]
    for name in overlays:
        del found[name]
    if not found:
        raise FailureError(f"{folder} contains no masks ({' '.join(sorted(readable_suffixes()))})")
    masks: dict[str, MaskFile] = {}
    for name, path in found.items():
        pages = _pages_of(path)
        masks |= (
            {name: MaskFile(path)}
            if pages == 1
            else {f"{_core(name)}/{page:04}": MaskFile(path, page) for page in range(pages)}
        )
    return masks


def _pages_of(path: Path) -> int:
    try:
        return count_pages(path) if may_have_pages(path) else 1
    except (ImageError, MissingExtraError):
        return 1  # reading it reports the problem


def pair(
    predictions: Collection[str], truths: Collection[str], *, where: tuple[str, str]
) -> list[tuple[str, str]]:
    """Return (prediction, truth) for every truth, in the order of the truths.

    Equal names match; if some are left over, names are compared without words such as ``prediction_`` before
    or ``_mask`` after them.

    Args:
        predictions: names of the predictions.
        truths: names of the ground-truth masks.
        where: names of the two sides in error messages.

    Raises:
        FailureError: some names have no partner, or two names become equal without those words.
    """
    if set(predictions) == set(truths):
        return [(name, name) for name in truths]
    ours, theirs = _by_core(predictions, where[0]), _by_core(truths, where[1])
    alone = [
        f"{len(left)} of {place} without a {partner}: {_listed(left)}"
        for left, place, partner in (
            ([name for core, name in ours.items() if core not in theirs], where[0], "truth"),
            ([name for core, name in theirs.items() if core not in ours], where[1], "prediction"),
        )
        if left
    ]
    if alone:
        raise FailureError(
            "every prediction needs a ground truth of the same name, and vice versa:\n  " + "\n  ".join(alone)
        )
    return [(ours[core], name) for core, name in theirs.items()]


def _by_core(names: Iterable[str], where: str) -> dict[str, str]:
    cores: dict[str, str] = {}
    for name in names:
        core = _core(name)
        if core in cores:
            raise FailureError(
                f"{where}: {cores[core]!r} and {name!r} both seem to belong to {core!r}: keep one of them"
            )
        cores[core] = name
    return cores


def _core(name: str) -> str:
    folder, slash, stem = name.rpartition("/")
    return folder + slash + _AFFIX.sub("", stem)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names) - _SHOWN} more)" if len(names) > _SHOWN else "")
