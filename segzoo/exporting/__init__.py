"""Models leave for other runtimes: written with preprocessing and labels, and a measured certificate.

Names are imported when first used, so that a plug-in's writer can be typed without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.exporting.exportable import Exportable, Writer
    from segzoo.exporting.writing import export

_WHERE = {"Exportable": "exportable", "Writer": "exportable", "export": "writing"}

__all__ = ["Exportable", "Writer", "export"]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
