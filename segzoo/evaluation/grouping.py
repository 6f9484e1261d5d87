"""Groups of images that are scored separately: by a tag of the dataset, or by a part of their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.errors import OptionError
from segzoo.evaluation.samples import sample_names
from segzoo.options import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.interfaces import Dataset

#: Group of images without a tag, or whose names do not match.
NONE = "none"


@dataclass(frozen=True)
class Grouping:
    """The group of each image.

    Attributes:
        by: tag or regular expression.
        groups: groups by image name.
    """

    by: str
    groups: Mapping[str, str]

    def of(self, name: str) -> str:
        """Return the group of an image, or `NONE` if it has none."""
        return self.groups.get(name, NONE)


def read_groupings(by: Sequence[str], dataset: Dataset) -> list[Grouping]:
    """Return how the images of a dataset are grouped.

    Args:
        by: tags of the dataset (see `segzoo.interfaces.Dataset`), or regular expressions that are searched in
            the names of images: the text of the first capturing group names the group, or the whole match if
            there is none.
        dataset: dataset that is scored.

    Raises:
        OptionError: a word is neither a tag nor a regular expression that matches a name.
    """
    if not by:
        return []
    names = sample_names(dataset)
    tags: Sequence[Mapping[str, str]] = getattr(dataset, "tags", None) or [{}] * len(names)
    known = list(dict.fromkeys(tag for one in tags for tag in one))
    found: list[Grouping] = []
    for word in dict.fromkeys(by):
        if word in known:
            groups = {name: str(one[word]) for name, one in zip(names, tags, strict=True) if word in one}
        else:
            groups = _matched(word, names)
        if not groups:
            has = f"its tags are {listed(known)}" if known else "it has no tags"
            raise OptionError(
                f"{word!r} is not a tag of the dataset ({has}), and as a regular expression it matches no "
                f"image name, such as {listed(names[:1])}"
            )
        found.append(Grouping(word, groups))
    return found


def _matched(pattern: str, names: Sequence[str]) -> dict[str, str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise OptionError(f"{pattern!r} is neither a tag nor a valid regular expression: {error}") from error
    matches = {name: compiled.search(name) for name in names}
    which = 1 if compiled.groups else 0
    return {name: match[which] or NONE for name, match in matches.items() if match}
