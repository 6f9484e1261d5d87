"""What is wrong, what to do about it, and where it was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        level: ``error`` where it stops segzoo from working, else ``warning``.
        part: of the report in which it was found.
        text: what is wrong.
        cure: what to do about it.
    """

    level: Level
    part: str
    text: str
    cure: str


@dataclass(frozen=True)
class Part:
    """What was found out about one thing.

    Attributes:
        name: of the part.
        facts: what is the case, as JSON holds it.
        findings: what is wrong with it.
    """

    name: str
    facts: Mapping[str, Any]
    findings: tuple[Finding, ...] = field(default=())


class Findings(list[Finding]):
    """Gathers the findings of one part.

    Args:
        part: its name.
    """

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def error(self, text: str, cure: str) -> None:
        """Add what stops segzoo from working."""
        self.append(Finding("error", self.part, text, cure))

    def warn(self, text: str, cure: str) -> None:
        """Add what segzoo works in spite of."""
        self.append(Finding("warning", self.part, text, cure))
