"""Models leave for other runtimes: written with preprocessing and labels, and a measured certificate."""

from __future__ import annotations

from segzoo.exporting.exportable import Exportable, Writer

__all__ = ["Exportable", "Writer"]
