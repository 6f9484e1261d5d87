"""Losses: logits and class indices to a number. One file each; what is named here is for plug-ins, too.

`pixels` checks what is compared and leaves out what is ignored, for all of them. A network with one
logit tells class 1 from class 0; losses of several classes treat it as such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.losses.pixels import Pixels, check_smoothing, read_pixels

# Imported when first used: a list of what there is needs none of it.
_WHERE = {
    "Pixels": "pixels",
    "check_smoothing": "pixels",
    "read_pixels": "pixels",
}

__all__ = [
    "Pixels",
    "check_smoothing",
    "read_pixels",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
