"""Every part in its own try, and what they say together."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from segzoo.installation.findings import Finding, Part

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds after which the process that tries torch is given up.
PATIENCE = 180.0


@dataclass(frozen=True)
class Report:
    """What segzoo found on this machine.

    Attributes:
        parts: what was found out, in the order in which it is told.
    """

    parts: tuple[Part, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is wrong, what stops segzoo from working first."""
        every = [finding for part in self.parts for finding in part.findings]
        return tuple(sorted(every, key=lambda finding: finding.level != "error"))

    @property
    def ok(self) -> bool:
        """Whether nothing stops segzoo from working."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return everything, for a bug report: no secret is in it, and the home folder is ``~``."""
        facts: dict[str, Any] = {part.name: dict(part.facts) for part in self.parts}
        told = {"ok": self.ok, "findings": [asdict(finding) for finding in self.findings], **facts}
        return without_home(json.loads(json.dumps(told, default=str)))


def examine(*, patience: float = PATIENCE) -> Report:
    """Look at everything that segzoo needs on this machine.

    Args:
        patience: seconds after which the process that tries torch is given up.

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
    return Report(tuple(_survived(name, probe) for name, probe in probes.items()))


def _room(name: str) -> Any:
    """Import a module of this room, which one broken package may prevent, and that of no other part."""
    return import_module(f"segzoo.installation.{name}")


def _survived(name: str, probe: Callable[[], Part]) -> Part:
    """Return a part, or that it cannot be looked at."""
    try:
        return probe()
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        finding = Finding(
            "warning",
            name,
            f"the part {name} cannot be looked at: {told}",
            "mend what the message names; if it is segzoo's own fault, report it with this text",
        )
        return Part(name, {"trouble": told}, (finding,))


def without_home(told: Any) -> Any:
    """Return what was told with ``~`` for the home folder, wherever a path begins with it."""
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
