"""Problems, what to do about them, and where they were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """A problem.

    Attributes:
        level: ``error`` if it stops segzoo from working, else ``warning``.
        part: part of the report in which it was found.
        text: what is wrong.
        cure: what to do about it.
    """

    level: Level
    part: str
    text: str
    cure: str


@dataclass(frozen=True)
class Part:
    """The report about one part.

    Attributes:
        name: name of the part.
        facts: facts, as JSON data.
        findings: problems.
    """

    name: str
    facts: Mapping[str, Any]
    findings: tuple[Finding, ...] = field(default=())


class Findings(list[Finding]):
    """Collects the findings of one part.

    Args:
        part: name of the part.
    """

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def error(self, text: str, cure: str) -> None:
        """Add a problem that stops segzoo from working."""
        self.append(Finding("error", self.part, text, cure))

    def warn(self, text: str, cure: str) -> None:
        """Add a problem in spite of which segzoo works."""
        self.append(Finding("warning", self.part, text, cure))
