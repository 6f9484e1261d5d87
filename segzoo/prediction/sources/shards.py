"""Which part of a long list one of several runs takes.

``3/8`` is the third of eight, counted from 1. Processes that Accelerate's launcher or ``torchrun`` started
share by themselves.
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
    """The part of a list that one of several runs takes.

    Attributes:
        index: from 0.
        count: how many parts there are.
    """

    index: int = 0
    count: int = 1

    def of(self, everything: Sequence[T]) -> list[T]:
        """Return every ``count``-th element, so that parts of a list sorted by size are alike."""
        return list(everything[self.index :: self.count])

    def of_files(self, images: Sequence[Source]) -> list[Source]:
        """Return every ``count``-th file with all its pages, which what gathers them needs."""
        files: dict[Path | str, list[Source]] = {}
        for one in images:
            files.setdefault(one.path if isinstance(one, FileSource) else one.origin, []).append(one)
        return [one for pages in self.of([*files.values()]) for one in pages]

    @property
    def name(self) -> str:
        """What is added to names of files of this part; empty where there is one part."""
        return f"-{self.index + 1}-of-{self.count}" if self.count > 1 else ""


def parse_shard(text: str | None) -> Shard:
    """Read ``3/8``; without a text, what a launcher has put into the environment.

    Raises:
        OptionError: the text is no such part.
    """
    if text is None:
        rank, size = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
        if not (_NUMBER.fullmatch(rank) and _NUMBER.fullmatch(size) and int(rank) < int(size)):
            raise OptionError(
                f"RANK={shown(rank)} and WORLD_SIZE={shown(size)}, which a launcher sets, must "
                "be a number from 0 and how many there are: unset them, or say --shard 3/8"
            )
        return Shard(int(rank), int(size))
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise OptionError(f"shard must be such as 3/8, the third of eight, got {shown(text)}")
    return Shard(int(found[1]) - 1, int(found[2]))
