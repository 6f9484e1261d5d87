"""Health: what segzoo finds on this machine, and what is wrong with it.

Each part is looked at in a try of its own, and torch in a process of its own, so that whatever is broken is
told of rather than met. Nothing here imports torch, and nothing is changed.
"""

from __future__ import annotations

from segzoo.installation.findings import Finding, Part
from segzoo.installation.report import Report, examine

__all__ = ["Finding", "Part", "Report", "examine"]
