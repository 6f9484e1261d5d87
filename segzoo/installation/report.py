"""Runs every check in a separate try block, and collects problems and what to do about them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from segzoo.printing import bar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


#: Seconds after which the process that tests torch is stopped.
PATIENCE = 180.0


@dataclass(frozen=True)
class Report:
    """What segzoo found on this machine.

    Attributes:
        parts: the checked parts, in the order of the report.
    """

    parts: tuple[Part, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All problems, those that stop segzoo from working first."""
        every = [finding for part in self.parts for finding in part.findings]
        return tuple(sorted(every, key=lambda finding: finding.level != "error"))

    @property
    def ok(self) -> bool:
        """Whether no problem stops segzoo from working."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return everything, for a bug report: without secrets, and with ``~`` for the home folder."""
        facts: dict[str, Any] = {part.name: dict(part.facts) for part in self.parts}
        told = {"ok": self.ok, "findings": [asdict(finding) for finding in self.findings], **facts}
        return without_home(json.loads(json.dumps(told, default=str)))


def examine(*, patience: float = PATIENCE, progress: bool = False) -> Report:
    """Check everything that segzoo needs on this machine.

    Args:
        patience: seconds after which the process that tests torch is stopped.
        progress: whether to show a progress bar, on a terminal only.

    Example:
        >>> report = examine()
        >>> report.ok
        True
    """
    tried = cache(lambda: _room("trial").try_imports(patience=patience))
    probes: dict[str, Callable[[], Part]] = {
        "installation": lambda: _room("installation").look(),
        "packages": lambda: _room("installation").look_at_packages(tried()),
        "extras": lambda: _room("installation").look_at_extras(),
        "machine": lambda: _room("processor").look(),
        "device": lambda: _room("trial").look_at_device(tried()),
        "caches": lambda: _room("caches").look(),
        "environment": lambda: _room("environment").look(),
        "plugins": lambda: _room("plugins").look(),
    }
    parts = []
    shown = None if progress else False
    with bar(what="check", unit="part", shown=shown, total=len(probes), leave=False) as done:
        for name, probe in probes.items():
            done.set_description(f"check {name}")
            parts.append(_survived(name, probe))
            done.update()
    return Report(tuple(parts))


def _room(name: str) -> Any:
    """Import a module of this package; a broken dependency may prevent that without affecting other parts."""
    return import_module(f"segzoo.installation.{name}")


def _survived(name: str, probe: Callable[[], Part]) -> Part:
    """Return a part, or the error that prevented its check."""
    try:
        return probe()
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        finding = Finding(
            "warning",
            name,
            f"the part {name} cannot be checked: {told}",
            "fix what the message names; if it is a fault of segzoo, report it with this text",
        )
        return Part(name, {"trouble": told}, (finding,))


def without_home(told: Any) -> Any:
    """Return the report with ``~`` in place of the home folder at the beginning of a path."""
    from pathlib import Path

    try:
        home = str(Path.home())
    except RuntimeError:  # there is none
        home = ""
    return _replaced(told, home if len(home) > 1 else "\0")


def _replaced(told: Any, home: str) -> Any:
    import re

    if isinstance(told, str):
        # Not /rootfs for a home of /root, nor /mnt/root.
        return re.sub(rf"(?<![\w/.-]){re.escape(home)}(?![\w-]|\.\w)", "~", told)
    if isinstance(told, dict):
        return {key: _replaced(one, home) for key, one in told.items()}
    return [_replaced(one, home) for one in told] if isinstance(told, list) else told
