"""Losses: compute a number from logits and class indices. One file each; names here are public for plug-ins.

`pixels` checks the inputs and leaves out ignored pixels, for all losses. A network with one logit separates
class 1 from class 0; losses for several classes treat it as two classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.losses.pixels import Pixels, check_smoothing, read_pixels

# Imported at first use: listing the losses needs none of them.
_WHERE = {
    "pixels": "Pixels check_smoothing read_pixels",
}

__all__ = [
    "Pixels",
    "check_smoothing",
    "read_pixels",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
