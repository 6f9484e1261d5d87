"""Health checks: what segzoo finds on this machine, and what is wrong with it.

Each part is checked in a separate try block, and torch in a separate process, so that anything broken is
reported instead of stopping the report. No module here imports torch or changes anything.
"""

from __future__ import annotations

from segzoo.installation.report import Finding, Part, Report, examine

__all__ = ["Finding", "Part", "Report", "examine"]
