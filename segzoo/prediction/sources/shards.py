"""Shards: the part of a long list that one of several runs processes.

``3/8`` is the third of eight, counted from 1. Processes started by Accelerate's launcher or ``torchrun``
share the work automatically.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from segzoo.errors import OptionError
from segzoo.options import shown
from segzoo.prediction.sources.source import FileSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from segzoo.prediction.sources.source import Source

T = TypeVar("T")

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Shard:
    """The part of a list that one of several runs processes.

    Attributes:
        index: number of the part, from 0.
        count: number of parts.
    """

    index: int = 0
    count: int = 1

    def of(self, everything: Sequence[T]) -> list[T]:
        """Return every ``count``-th element, so that parts of a list sorted by size are similar."""
        return list(everything[self.index :: self.count])

    def of_files(self, images: Sequence[Source]) -> list[Source]:
        """Return every ``count``-th file with all its pages, which a volume of masks needs."""
        files: dict[Path | str, list[Source]] = {}
        for one in images:
            files.setdefault(one.path if isinstance(one, FileSource) else one.origin, []).append(one)
        return [one for pages in self.of([*files.values()]) for one in pages]

    @property
    def name(self) -> str:
        """Suffix for the names of this part's files; empty if there is only one part."""
        return f"-{self.index + 1}-of-{self.count}" if self.count > 1 else ""


def parse_shard(text: str | None) -> Shard:
    """Read ``3/8``; without a text, read the environment variables that a launcher has set.

    Raises:
        OptionError: the text is not a valid part.
    """
    if text is None:
        rank, size = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
        if not (_NUMBER.fullmatch(rank) and _NUMBER.fullmatch(size) and int(rank) < int(size)):
            raise OptionError(
                f"RANK={shown(rank)} and WORLD_SIZE={shown(size)}, which a launcher sets, must "
                "be a number from 0 and the number of processes: unset them, or pass --shard 3/8"
            )
        return Shard(int(rank), int(size))
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise OptionError(f"shard must look like 3/8, the third of eight; got {shown(text)}")
    return Shard(int(found[1]) - 1, int(found[2]))
